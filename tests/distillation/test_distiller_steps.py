"""A step of a Distiller: ways to run it, precision, devices, schedules."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from kd_tf import LossTerm
from kd_tf.schedules import linear
from tests.conftest import ROOT
from tests.distillation.distiller_cases import (
    HINT,
    LABEL_LOSS,
    assert_close,
    conv,
    data,
    distil,
    evaluated,
    fitted,
    mlp,
    policy,
    soft,
    values,
)


@pytest.mark.parametrize(
    "option",
    [
        {"steps_per_execution": 2},
        {"run_eagerly": True},
        {"jit_compile": True},
    ],
)
def test_a_step_is_the_same_however_it_runs(option):
    losses = [
        "soft_targets",
        HINT,
        LossTerm("rkd_distance", pairs=[("hidden", "hidden")]),
    ]
    x, y = data(8, (8, 8, 1))
    histories = []
    for chosen in ({}, option):
        models = conv(1, 2, strides=2), conv(2, 3)
        distiller = distil(losses, models=models, **chosen)
        fit = distiller.fit(
            x, y, batch_size=4, epochs=2, shuffle=False, verbose=0
        )
        histories.append(fit.history)
    assert histories[0].keys() == histories[1].keys()
    assert len(histories[0]) == 5
    for name, expected in histories[0].items():
        np.testing.assert_allclose(histories[1][name], expected, rtol=1e-4)


def test_learning_rate_schedule_is_followed():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [0], [0.1, 0.0]
    )
    scheduled = distil(optimizer=keras.optimizers.SGD(schedule))
    fitted(scheduled, count=9, epochs=1)
    once = distil()
    fitted(once, count=3, epochs=1)  # the first batch is the same
    assert_close(scheduled.weights, once.weights, rtol=1e-6)


def test_global_clipnorm_is_over_student_and_adapters():
    distiller = distil(
        ["soft_targets", HINT],
        optimizer=keras.optimizers.SGD(1.0, global_clipnorm=1e-2),
    )
    before = values(distiller.trainable_variables)
    fitted(distiller, count=3, epochs=1)
    after = values(distiller.trainable_variables)
    steps = [np.sum((a - b) ** 2) for a, b in zip(after, before, strict=True)]
    assert len(steps) == 6
    assert np.sqrt(np.sum(steps)) == pytest.approx(1e-2, rel=1e-3)


def test_moving_averages_of_the_weights_end_in_the_student():
    after_one, after_two = distil(), distil()
    fitted(after_one, count=3, epochs=1)
    fitted(after_two, count=6, epochs=1)
    averaged = distil(
        optimizer=keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.25)
    )
    fitted(averaged, count=6, epochs=1)
    # The average begins with the weights after the first step.
    for mean, one, two in zip(
        *(values(d.student.weights) for d in (averaged, after_one, after_two)),
        strict=True,
    ):
        np.testing.assert_allclose(mean, 0.25 * one + 0.75 * two, rtol=1e-5)


def test_accumulated_gradients_make_the_step_of_a_larger_batch():
    losses = ["soft_targets", HINT]
    accumulated = distil(
        losses,
        optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
    )
    fitted(accumulated, count=6, epochs=1)
    at_once = distil(losses)
    fitted(at_once, count=6, epochs=1, batch_size=6)
    start = distil(losses)
    assert np.any(start.weights[0].numpy() != at_once.weights[0].numpy())
    assert_close(accumulated.weights, at_once.weights, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("of_student", "of_teacher"),
    [
        ("mixed_float16", "mixed_float16"),
        ("mixed_bfloat16", "mixed_bfloat16"),
        ("mixed_float16", "float32"),
        ("float32", "mixed_bfloat16"),
    ],
)
def test_models_of_any_precision_step_as_in_float32(of_student, of_teacher):
    with policy(of_student):
        student = mlp(1)
    with policy(of_teacher):
        teacher = mlp(2, width=7)
    losses = ["soft_targets", HINT]
    coarse, exact = distil(losses, models=(student, teacher)), distil(losses)
    is_scaled = isinstance(
        coarse.optimizer, keras.optimizers.LossScaleOptimizer
    )
    assert is_scaled == (of_student == "mixed_float16")
    start = values(exact.weights)
    expected = fitted(exact)["loss"]
    np.testing.assert_allclose(fitted(coarse)["loss"], expected, rtol=0.02)
    for old, rough, new in zip(
        *(start, values(coarse.weights), values(exact.weights)), strict=True
    ):
        assert np.abs(rough - new).max() < 0.1 * np.abs(new - old).max()


def test_prediction_leaves_the_casting_of_inputs_to_the_student():
    with policy("mixed_float16"):
        student = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Rescaling(1e-6, dtype="float32"),
                mlp(1),
            ]
        )
    x = 1e6 * data()[0]  # more than float16 can say
    logits = distil(models=(student, mlp(2))).predict(x, verbose=0)
    assert np.isfinite(logits).all()
    np.testing.assert_array_equal(logits, student.predict(x, verbose=0))


def test_schedules_follow_the_number_of_updates():
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    loss_term = LossTerm(
        "soft_targets",
        temperature=linear(4.0, 1.0, 4),
        weight=lambda step: 1 + step,
    )
    # Nothing moves but the schedules.
    distiller = distil(
        loss_term,
        models=(student, teacher),
        weight=linear(0.0, 1.0, 8),
        optimizer=keras.optimizers.SGD(0.0),
    )
    labels = np.mean(LABEL_LOSS.call(y, student(x)))
    for temperature, weight, share in [(4, 1, 0), (2.5, 3, 0.25), (1, 5, 0.5)]:
        by_hand = soft(student(x), teacher(x), temperature)
        logs = evaluated(distiller, x, y)
        assert logs["soft_targets_loss"] == pytest.approx(by_hand, rel=1e-4)
        total = share * labels + (1 - share) * weight * by_hand
        assert logs["loss"] == pytest.approx(total, rel=1e-4)
        fitted(distiller, count=6, epochs=1)  # two updates


def test_schedules_count_under_loss_scaling():
    with policy("mixed_float16"):
        student = mlp(1)
    distiller = distil(models=(student, mlp(2)), weight=linear(0.0, 1.0, 4))
    fitted(distiller, epochs=1)
    assert float(distiller.loss_weights(["student_loss"])["student_loss"]) > 0


ON_DEVICES = """
import contextlib, json
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
two = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
tf.config.set_logical_device_configuration(cpu, two)
import keras
from tests.distillation import distiller_cases as here


def run(scope):
    with scope:
        student, teacher = here.conv(1, 2, strides=2), here.conv(2, 3)
        student.layers[-1].kernel.regularizer = keras.regularizers.L2(0.1)
        keras.utils.set_random_seed(0)
        theirs = [
            keras.distillation.LogitsDistillation(2.0, loss)
            for loss in (keras.losses.KLDivergence(), "mse")
        ]
        losses = ["soft_targets", here.HINT, *theirs]
        distiller = here.Shrinking(
            student, teacher, losses, student_weight=0.3
        )
        distiller.compile(keras.optimizers.SGD(0.5), here.LABEL_LOSS)
    x, y = here.data(8, (8, 8, 1))
    fit = distiller.fit(
        x, y, batch_size=4, epochs=2, shuffle=False, verbose=0,
        validation_data=(x, y),
    )
    weights = [w.numpy().ravel().tolist() for w in distiller.weights]
    return {"history": fit.history, "weights": weights}

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
runs = [run(contextlib.nullcontext()), run(strategy.scope())]
print("RUNS " + json.dumps(runs))
"""


def test_two_devices_train_as_one():
    done = subprocess.run(
        [sys.executable, "-c", ON_DEVICES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [line] = [s for s in done.stdout.splitlines() if s.startswith("RUNS ")]
    one, two = json.loads(line.removeprefix("RUNS "))
    names = {"student_loss", "soft_targets_loss", "hint_loss", "size"}
    names |= {"regularization_loss", "loss"}
    names |= {"LogitsDistillation", "LogitsDistillation_2"}
    assert two["history"].keys() == names | {f"val_{name}" for name in names}
    for name, expected in one["history"].items():
        np.testing.assert_allclose(
            two["history"][name], expected, rtol=1e-4, atol=1e-6
        )
    for weights, expected in zip(two["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-6)
