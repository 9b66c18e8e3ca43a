import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kd_tf.distillation import loss_table
from kd_tf.losses.response import (
    decoupled_loss,
    dist_loss,
    logit_matching_loss,
    sigmoid_target_loss,
    soft_target_loss,
    standardize_logits,
    weighted_soft_label_loss,
)


def likeliest(teacher):
    return ops.argmax(teacher, axis=-1)


def nearly(teacher):
    return ops.stop_gradient(teacher) + 0.1


def with_labels(spec):
    """The loss of a row, with labels that suit its outputs if it takes any."""
    loss = spec.load()
    if "labels" not in inspect.signature(loss).parameters:
        return loss
    label = nearly if spec.outputs == "values" else likeliest
    return lambda s, t: loss(s, t, labels=label(t))


LOSSES = {
    **{
        name: with_labels(spec)
        for name, spec in loss_table.LOSSES.items()
        if spec.knowledge == "response"
    },
    "soft targets, T=1": functools.partial(soft_target_loss, temperature=1.0),
    "soft targets, T=20": functools.partial(soft_target_loss, temperature=20.0),
    "DKD, T=1": lambda s, t: decoupled_loss(
        s, t, labels=likeliest(t), temperature=1.0
    ),
    "DKD, target only": lambda s, t: decoupled_loss(
        s, t, labels=likeliest(t), beta=0.0
    ),
    "DIST, T=1": functools.partial(dist_loss, temperature=1.0),
    "standardized": lambda s, t: soft_target_loss(
        standardize_logits(s), standardize_logits(t)
    ),
}
LABELLED = {"DKD": decoupled_loss, "WSLD": weighted_soft_label_loss}
EXTREME = np.array([[1e4, -1e4, 0, 0], [1e4, 1e4, -1e4, 1e4]], "f")
HARD = {
    "opposite extremes": (-EXTREME, EXTREME),
    "equal extremes": (EXTREME, EXTREME),
    "extreme student": (EXTREME, np.zeros_like(EXTREME)),
    "extreme teacher": (np.zeros_like(EXTREME), EXTREME),
    "constant": (np.full((2, 4), 3, "f"), np.full((2, 4), -7, "f")),
    "zero": (np.zeros((2, 4), "f"), np.zeros((2, 4), "f")),
}
battery = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
hard = pytest.mark.parametrize("pair", HARD.values(), ids=HARD)
labelled = pytest.mark.parametrize("loss", LABELLED.values(), ids=LABELLED)


def logits(seed, shape=(5, 4), scale=3.0):
    return scale * np.random.default_rng(seed).normal(size=shape).astype("f")


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def divergence(teacher, student):
    return np.sum(teacher * np.log(teacher / student))


def gradients(loss, *inputs):
    inputs = [tf.constant(x) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = tf.reduce_sum(loss(*inputs))
    return tape.gradient(value, inputs)


def test_soft_target_loss_matches_the_sum_done_by_hand():
    # softmax([2, 0] / 2) = (e, 1) / (e + 1); the student is undecided.
    p = np.e / (np.e + 1)
    by_hand = 4 * (p * np.log(2 * p) + (1 - p) * np.log(2 * (1 - p)))
    loss = soft_target_loss(
        np.zeros((1, 2), "f"), np.array([[2.0, 0.0]]), temperature=2.0
    )
    np.testing.assert_allclose(loss, [by_hand], rtol=1e-6)


@pytest.mark.parametrize(
    ("temperature", "mean"), [(1.0, 0.9338), (3.0, 2.0301), (20.0, 2.1824)]
)
def test_soft_target_loss_is_right_where_the_keras_default_is_not(
    temperature, mean
):
    teacher = np.array([[5.0, 1.0, -2.0], [0.0, 3.0, 1.0]], "f")
    student = np.array([[1.0, 2.0, 0.0], [1.0, 1.0, 1.0]], "f")
    loss = soft_target_loss(student, teacher, temperature=temperature)
    assert np.mean(loss) == pytest.approx(mean, abs=5e-5)


def test_gradient_keeps_its_size_as_temperature_grows():
    # For T large the gradient tends to (centred s - centred t) / C.
    student, teacher = logits(0), logits(1)
    to_student, _ = gradients(
        lambda s, t: soft_target_loss(s, t, temperature=1e3), student, teacher
    )
    difference = student - teacher
    expected = (difference - difference.mean(-1, keepdims=True)) / 4
    np.testing.assert_allclose(to_student, expected, rtol=2e-2, atol=1e-2)


def test_logit_matching_loss_matches_the_sum_done_by_hand():
    # Centred: (-1, 0, 1) and (-2, -2, 4); (1^2 + 2^2 + 3^2) / 3 = 14 / 3.
    student, teacher = np.array([[1, 2, 3]], "f"), np.array([[0, 0, 6]], "f")
    loss = logit_matching_loss(student, teacher)
    np.testing.assert_allclose(loss, [14 / 3], rtol=1e-6)


def test_decoupled_loss_matches_the_two_parts_of_the_paper():
    labels = np.array([0, 3, 1, 2, 3])
    expected = []
    for student, teacher, label in zip(
        logits(0), logits(1), labels, strict=True
    ):
        p, q = softmax(teacher / 2), softmax(student / 2)
        right = divergence(
            np.array([p[label], 1 - p[label]]),
            np.array([q[label], 1 - q[label]]),
        )
        p, q = np.delete(p, label), np.delete(q, label)
        wrong = divergence(p / p.sum(), q / q.sum())
        expected.append(4 * (0.5 * right + 3 * wrong))
    loss = decoupled_loss(
        logits(0),
        logits(1),
        labels=labels,
        temperature=2.0,
        alpha=0.5,
        beta=3.0,
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_decoupled_loss_weighted_by_the_teacher_is_the_soft_target_loss():
    student, teacher = logits(0, (1, 4)), logits(1, (1, 4))
    share_of_wrong = 1 - softmax(teacher[0] / 4)[2]
    loss = decoupled_loss(
        student, teacher, labels=np.array([2]), beta=share_of_wrong
    )
    np.testing.assert_allclose(
        loss, soft_target_loss(student, teacher), rtol=1e-5
    )


def test_dist_loss_is_in_the_mean_one_minus_the_correlations():
    q = np.array([softmax(x / 2) for x in logits(0)])
    p = np.array([softmax(x / 2) for x in logits(1)])
    over_classes = [np.corrcoef(p[i], q[i])[0, 1] for i in range(5)]
    over_outputs = [np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(4)]
    expected = 4 * (
        0.5 * (1 - np.mean(over_classes)) + 3 * (1 - np.mean(over_outputs))
    )
    loss = dist_loss(logits(0), logits(1), temperature=2.0, beta=0.5, gamma=3.0)
    assert np.mean(loss) == pytest.approx(expected, rel=1e-5)


def test_dist_loss_over_classes_is_one_minus_each_correlation():
    expected = [
        1 - np.corrcoef(softmax(s), softmax(t))[0, 1]
        for s, t in zip(logits(0), logits(1), strict=True)
    ]
    loss = dist_loss(logits(0), logits(1), temperature=1.0, beta=1.0, gamma=0.0)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_weighted_soft_label_loss_matches_the_paper():
    labels = np.array([0, 3, 1, 2, 3])
    expected = []
    for student, teacher, label in zip(
        logits(0), logits(1), labels, strict=True
    ):
        ratio = np.log(softmax(student)[label]) / np.log(
            softmax(teacher)[label]
        )
        soft = 4 * divergence(softmax(teacher / 2), softmax(student / 2))
        expected.append((1 - np.exp(-ratio)) * soft)
    loss = weighted_soft_label_loss(
        logits(0), logits(1), labels=labels, temperature=2.0
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_weight_of_weighted_soft_labels_gets_no_gradient():
    student, teacher, labels = logits(0), logits(1), np.array([0, 3, 1, 2, 3])
    weight = np.divide(
        weighted_soft_label_loss(student, teacher, labels=labels),
        soft_target_loss(student, teacher),
    )
    weighted, _ = gradients(
        lambda s, t: weighted_soft_label_loss(s, t, labels=labels),
        student,
        teacher,
    )
    plain, _ = gradients(soft_target_loss, student, teacher)
    np.testing.assert_allclose(
        weighted, weight[:, None] * plain, rtol=1e-4, atol=1e-5
    )


def test_sigmoid_target_loss_matches_the_sum_done_by_hand():
    # At T = 2 sigmoid(2 log 3 / 2) = 3/4; the student has 1/2. In the second
    # class they agree, so the mean over the two halves the divergence.
    by_hand = 4 * (0.75 * np.log(1.5) + 0.25 * np.log(0.5)) / 2
    teacher = np.array([[2 * np.log(3), 1.0]], "f")
    loss = sigmoid_target_loss(
        np.array([[0.0, 1.0]], "f"), teacher, temperature=2.0
    )
    np.testing.assert_allclose(loss, [by_hand], rtol=1e-5)


def test_standardize_logits_matches_the_sum_done_by_hand():
    # Mean 3, deviations (-2, -1, 0, 3), variance 14 / 4.
    by_hand = np.array([[-2, -1, 0, 3]]) / np.sqrt(3.5)
    standardized = standardize_logits(np.array([[1, 2, 3, 6]], "float16"))
    assert standardized.dtype == "float32"
    np.testing.assert_allclose(standardized, by_hand, rtol=1e-5)


def test_standardized_logits_forget_their_size_and_offset():
    np.testing.assert_allclose(
        standardize_logits(20 * logits(0) - 5),
        standardize_logits(logits(0)),
        rtol=1e-4,
        atol=1e-5,
    )


@battery
def test_one_value_an_example(loss):
    assert loss(logits(0), logits(1)).shape == (5,)


@battery
def test_one_value_a_pixel_as_if_the_pixels_were_examples(loss):
    student, teacher = logits(0, (2, 3, 5, 4)), logits(1, (2, 3, 5, 4))
    value = loss(student, teacher)
    assert value.shape == (2, 3, 5)
    flat = loss(student.reshape(-1, 4), teacher.reshape(-1, 4))
    np.testing.assert_allclose(
        np.reshape(value, -1), flat, rtol=1e-4, atol=1e-5
    )


@battery
def test_batch_of_unknown_size(loss):
    unknown = tf.TensorSpec((None, None, 4))
    traced = tf.function(loss, input_signature=[unknown, unknown])
    student, teacher = logits(0, (3, 2, 4)), logits(1, (3, 2, 4))
    np.testing.assert_allclose(
        traced(student, teacher), loss(student, teacher), rtol=1e-4, atol=1e-5
    )


@battery
def test_float16_in_float32_out(loss):
    student, teacher = logits(0).astype("float16"), logits(1).astype("float16")
    value = loss(student, teacher)
    assert value.dtype == "float32"
    np.testing.assert_allclose(
        value, loss(student.astype("f"), teacher.astype("f")), rtol=1e-2
    )


@battery
def test_least_when_student_equals_teacher(loss):
    np.testing.assert_allclose(loss(logits(1), logits(1)), 0, atol=1e-4)
    assert np.all(np.array(loss(logits(0), logits(1))) > 1e-3)


@hard
@battery
def test_finite_value_and_gradient_at_hard_logits(loss, pair):
    assert np.isfinite(loss(*pair)).all()
    assert np.isfinite(gradients(loss, *pair)[0]).all()


@battery
def test_finite_gradient_when_student_equals_teacher(loss):
    assert np.isfinite(gradients(loss, logits(1), logits(1))[0]).all()


@battery
def test_gradient_to_the_student_and_none_to_the_teacher(loss):
    to_student, to_teacher = gradients(loss, logits(0), logits(1))
    assert np.abs(to_student).max() > 1e-3
    assert to_teacher is None


@battery
def test_permuting_the_batch_permutes_the_losses(loss):
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(
        loss(logits(0)[order], logits(1)[order]),
        np.array(loss(logits(0), logits(1)))[order],
        rtol=1e-5,
    )


@battery
def test_unequal_widths_are_refused(loss):
    with pytest.raises(ValueError, match=r"student \(5, 1\), teacher \(5, 4\)"):
        loss(logits(0, (5, 1)), logits(1))


@labelled
def test_labels_agree_as_classes_column_and_one_hot(loss):
    labels = np.array([0, 3, 1, 2, 3])
    expected = loss(logits(0), logits(1), labels=labels)
    for same in labels[:, None], np.eye(4, dtype="f")[labels]:
        np.testing.assert_allclose(
            loss(logits(0), logits(1), labels=same), expected, rtol=1e-6
        )


@labelled
def test_labels_of_pixels_agree_as_classes_and_one_hot(loss):
    student, teacher = logits(0, (2, 3, 5, 4)), logits(1, (2, 3, 5, 4))
    labels = np.arange(30).reshape(2, 3, 5) % 4
    expected = loss(student, teacher, labels=labels)
    for same in labels[..., None], np.eye(4, dtype="f")[labels]:
        np.testing.assert_allclose(
            loss(student, teacher, labels=same), expected, rtol=1e-6
        )


@pytest.mark.parametrize(
    "loss", [soft_target_loss, logit_matching_loss, dist_loss]
)
def test_a_single_logit_is_refused_with_the_losses_for_it(loss):
    with pytest.raises(ValueError, match="at least two logits") as raised:
        loss(logits(0, (5, 1)), logits(1, (5, 1)))
    for name in ("sigmoid_targets", "value_matching", "teacher_bounded"):
        assert name in str(raised.value)
        assert name in loss_table.LOSSES
    assert "Received: outputs of shape (5, 1)" in str(raised.value)
