import keras
import numpy as np
import pytest
import tensorflow as tf

import kd_tf
from kd_tf.losses.response import soft_target_loss

LOSSES = {
    "soft targets": soft_target_loss,
    "soft targets, T=1": lambda s, t: soft_target_loss(s, t, 1.0),
    "soft targets, T=20": lambda s, t: soft_target_loss(s, t, 20.0),
}
battery = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def logits(seed, shape=(5, 4), scale=3.0):
    return scale * np.random.default_rng(seed).normal(size=shape).astype("f")


def test_soft_target_loss_matches_the_sum_done_by_hand():
    # softmax([2, 0] / 2) = (e, 1) / (e + 1); the student is undecided.
    p = np.e / (np.e + 1)
    by_hand = 4 * (p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)))
    loss = soft_target_loss(np.zeros((1, 2), "f"), np.array([[2.0, 0.0]]), 2.0)
    np.testing.assert_allclose(loss, [by_hand], rtol=1e-6)


@pytest.mark.parametrize(
    ("temperature", "mean"), [(1.0, 0.9338), (3.0, 2.0301), (20.0, 2.1824)]
)
def test_soft_target_loss_is_right_where_the_keras_default_is_not(
    temperature, mean
):
    teacher = np.array([[5.0, 1.0, -2.0], [0.0, 3.0, 1.0]], "f")
    student = np.array([[1.0, 2.0, 0.0], [1.0, 1.0, 1.0]], "f")
    loss = soft_target_loss(student, teacher, temperature)
    assert np.mean(loss) == pytest.approx(mean, abs=5e-5)


def test_gradient_keeps_its_size_as_temperature_grows():
    # For T large the gradient tends to (centred s - centred t) / C.
    student, teacher = tf.constant(logits(0)), logits(1)
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss = tf.reduce_sum(soft_target_loss(student, teacher, 1e3))
    difference = student - teacher
    expected = (difference - tf.reduce_mean(difference, -1, True)) / 4
    np.testing.assert_allclose(
        tape.gradient(loss, student), expected, rtol=2e-2, atol=1e-2
    )


@battery
def test_one_value_an_example(loss):
    assert loss(logits(0), logits(1)).shape == (5,)


@battery
def test_float16_in_float32_out(loss):
    value = loss(logits(0).astype("float16"), logits(1).astype("float16"))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"


@battery
def test_least_when_student_equals_teacher(loss):
    np.testing.assert_allclose(loss(logits(1), logits(1)), 0, atol=1e-4)
    assert np.all(np.array(loss(logits(0), logits(1))) > 1e-3)


@battery
def test_finite_at_extreme_logits(loss):
    teacher = np.array([[1e4, -1e4, 0, 0]], "f")
    assert np.isfinite(loss(-teacher, teacher)).all()


@battery
def test_gradient_to_the_student_and_none_to_the_teacher(loss):
    student, teacher = tf.constant(logits(0)), tf.constant(logits(1))
    with tf.GradientTape() as tape:
        tape.watch([student, teacher])
        value = tf.reduce_sum(loss(student, teacher))
    to_student, to_teacher = tape.gradient(value, [student, teacher])
    assert np.abs(to_student).max() > 1e-3
    assert to_teacher is None


@battery
def test_permuting_the_batch_permutes_the_losses(loss):
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(
        loss(logits(0)[order], logits(1)[order]),
        np.array(loss(logits(0), logits(1)))[order],
        rtol=1e-6,
    )


@battery
def test_unequal_widths_are_refused(loss):
    with pytest.raises(ValueError, match=r"student \(5, 1\), teacher \(5, 4\)"):
        loss(logits(0, (5, 1)), logits(1))


def test_public_names_are_the_written_list():
    assert kd_tf.__all__ == [
        "ConversionError",
        "Distiller",
        "EpochCheckpoint",
        "Limit",
        "MagnitudePruning",
        "QuantizationError",
        "accuracy",
        "add_labels",
        "agreement",
        "benchmark_file",
        "build_model",
        "check_classifier",
        "convert_to_tflite",
        "digits_source",
        "file_logits",
        "load_classifier",
        "npz_source",
        "quantize_tflite",
        "read_labels",
        "soft_target_loss",
        "tfds_source",
        "write_report",
    ]
    assert all(callable(getattr(kd_tf, name)) for name in kd_tf.__all__)
