"""Losses of one's own: shapes, layers with weights, regularization, logs."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kd_tf import Distiller, LossTerm
from tests.conftest import ROOT
from tests.distillation.distiller_cases import (
    LABEL_LOSS,
    data,
    distil,
    evaluated,
    fitted,
    mlp,
    soft,
)


class Unreduced(Distiller):
    """Squared logits, one value an example; and their mean."""

    def compute_losses(self, x, y, student, teacher, sample_weight):
        losses = super().compute_losses(x, y, student, teacher, sample_weight)
        size = ops.mean(ops.square(student.outputs), axis=-1)
        return {**losses, "size": size, "mean_size": ops.mean(size)}


def test_an_unreduced_loss_is_weighed_as_all_others_are():
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    distiller = Unreduced(student, teacher, student_weight=0)
    distiller.compile(keras.optimizers.SGD(0.0), LABEL_LOSS)
    weights = np.array([1, 0, 2, 1, 0, 3], "f")
    logs = evaluated(distiller, x, y, sample_weight=weights)
    sizes = np.mean(np.square(student(x)), axis=-1)
    assert logs["size"] == pytest.approx(np.sum(weights * sizes) / 6, rel=1e-5)
    assert logs["mean_size"] == pytest.approx(np.mean(sizes), rel=1e-5)


ON_DEVICES = """
import contextlib, json
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
two = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
tf.config.set_logical_device_configuration(cpu, two)
import keras
import kd_tf
from keras import ops
from tests import test_readme
from tests.distillation import distiller_cases as here
from tests.distillation.test_distiller_own_losses import Unreduced

names = {"kd_tf": kd_tf, "ops": ops}
code = test_readme.block("class TrustingDistiller")
exec(code.partition("\\n\\ndistiller =")[0], names)


def run(kind, scope):
    with scope:
        distiller = kind(here.mlp(1), here.mlp(2), student_weight=0.3)
        distiller.compile(keras.optimizers.SGD(0.5), here.LABEL_LOSS)
    x, y = here.data(8)
    history = distiller.fit(
        x, y, batch_size=4, epochs=2, shuffle=False, verbose=0,
        validation_data=(x, y),
    ).history
    weights = [w.numpy().ravel().tolist() for w in distiller.weights]
    return {"history": history, "weights": weights}


strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
runs = [
    [run(kind, contextlib.nullcontext()), run(kind, strategy.scope())]
    for kind in (Unreduced, names["TrustingDistiller"])
]
print("RUNS " + json.dumps(runs))
"""


def test_own_losses_give_the_same_on_one_device_and_on_two():
    done = subprocess.run(
        [sys.executable, "-c", ON_DEVICES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [line] = [s for s in done.stdout.splitlines() if s.startswith("RUNS ")]
    for one, two in json.loads(line.removeprefix("RUNS ")):
        for name, expected in one["history"].items():
            np.testing.assert_allclose(
                two["history"][name], expected, rtol=1e-4, atol=1e-6
            )
        for weights, expected in zip(
            two["weights"], one["weights"], strict=True
        ):
            np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-6)


class Scaled(keras.layers.Layer):
    """Squared distance of scaled logits; notes in which mode it ran."""

    def build(self, student_shape, teacher_shape):
        self.scale = self.add_weight(
            shape=student_shape[-1:], initializer="ones"
        )
        self.modes = []

    def call(self, student, teacher, training=None):
        self.modes.append(training)
        return ops.mean(ops.square(self.scale * student - teacher), axis=-1)


def test_a_layer_as_a_loss_is_trained_counted_and_dropped(tmp_path):
    student, teacher, (x, _) = mlp(1), mlp(2), data()
    layer = Scaled()
    distiller = distil(LossTerm(layer), models=(student, teacher), weight=0)
    assert distiller.adapter_parameters == 3
    assert sum(v is layer.scale for v in distiller.trainable_variables) == 1
    z, t = np.array(student(x)), np.array(teacher(x))
    # d mean((s z - t)^2) / d s at s = 1, over 6 examples of 3 logits.
    slope = np.sum(2 * (z - t) * z, axis=0) / 18
    history = fitted(distiller, epochs=1, batch_size=6)
    assert history["Scaled"] == [pytest.approx(np.mean((z - t) ** 2), rel=1e-5)]
    np.testing.assert_allclose(layer.scale, 1 - 0.1 * slope, rtol=1e-4)
    assert layer.modes[-1] is True
    distiller.save_weights(tmp_path / "all.weights.h5")
    distiller.save(tmp_path / "student.keras")
    trained = layer.scale.numpy()
    layer.scale.assign([0.0, 0.0, 0.0])
    distiller.load_weights(tmp_path / "all.weights.h5")
    np.testing.assert_array_equal(layer.scale, trained)
    saved = keras.models.load_model(tmp_path / "student.keras")
    assert saved.count_params() == student.count_params()


def test_a_layer_as_a_loss_serves_between_layers():
    layer = Scaled()
    loss_term = LossTerm(layer, pairs=[("hidden", "hidden")])
    distiller = distil(loss_term, models=(mlp(1), mlp(2, width=7)))
    # A projection from 5 to 7 features, and 7 scales.
    assert distiller.adapter_parameters == 5 * 7 + 7 + 7
    fitted(distiller, epochs=1)
    assert np.any(layer.scale.numpy() != 1)


def test_an_adapter_of_ones_own_stands_between_the_layers():
    loss_term = LossTerm(
        "hint",
        pairs=[("hidden", "hidden")],
        adapter=keras.layers.Dense(7, use_bias=False),
    )
    distiller = distil(loss_term, models=(mlp(1), mlp(2, width=7)))
    assert distiller.adapter_parameters == 5 * 7
    with pytest.raises(
        ValueError, match=r"`adapter` belongs to losses between"
    ):
        LossTerm("soft_targets", adapter="none")


def test_taps_put_layers_of_ones_choice_into_the_activations():
    class Tapping(Distiller):
        def compute_losses(self, x, y, student, teacher, sample_weight):
            s, t = student.activations["hidden"], teacher.activations["hidden"]
            return {"mine": ops.mean(ops.square(s - t), axis=-1)}

    student, teacher, (x, _) = mlp(1), mlp(2), data()
    taps = {"student": ["hidden"], "teacher": ["hidden"]}
    distiller = Tapping(student, teacher, student_weight=0, taps=taps)
    distiller.compile("sgd")
    hidden = [np.array(m.layers[0](x)) for m in (student, teacher)]
    by_hand = np.mean((hidden[0] - hidden[1]) ** 2)
    assert evaluated(distiller, x)["mine"] == pytest.approx(by_hand, rel=1e-5)
    with pytest.raises(
        ValueError, match=r'must be {"student": paths, "teacher'
    ):
        Distiller(student, teacher, taps={"hidden": []})


def regularized():
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(
                3,
                kernel_initializer=keras.initializers.Constant(0.5),
                kernel_regularizer=keras.regularizers.L2(0.1),
            ),
        ]
    )


def test_regularization_is_a_summand_of_its_own():
    class Halving(Distiller):
        def combine(self, losses):
            halved = {**losses, "student_loss": losses["student_loss"] / 2}
            return super().combine(halved)

    student, teacher, (x, y) = regularized(), mlp(2), data()
    logs = {}
    for kind in (Distiller, Halving):
        distiller = kind(student, teacher, student_weight=0.3)
        distiller.compile(keras.optimizers.SGD(0.0), LABEL_LOSS)
        logs[kind] = evaluated(distiller, x, y)
    labels = np.mean(LABEL_LOSS.call(y, student(x)))
    penalty = 0.1 * 12 * 0.25
    rest = 0.7 * soft(student(x), teacher(x)) + penalty
    whole, halved = logs[Distiller], logs[Halving]
    assert whole["student_loss"] == pytest.approx(labels, rel=1e-5)
    assert whole["regularization_loss"] == pytest.approx(penalty, rel=1e-5)
    assert whole["loss"] == pytest.approx(0.3 * labels + rest, rel=1e-5)
    assert halved["loss"] == pytest.approx(0.15 * labels + rest, rel=1e-5)


def test_a_compute_loss_of_ones_own_is_the_label_loss():
    class Doubled(Distiller):
        def compute_loss(self, *args, **kwargs):
            return 2 * super().compute_loss(*args, **kwargs)

    student, (x, y) = regularized(), data()
    distiller = Doubled(student, mlp(2), student_weight=1.0)
    distiller.compile("sgd", LABEL_LOSS)
    labels = np.mean(LABEL_LOSS.call(y, student(x)))
    logs = evaluated(distiller, x, y)
    assert logs["student_loss"] == pytest.approx(2 * labels, rel=1e-5)


class TwoSteps(Distiller):
    """Updates once by labels and once by the teacher."""

    def train_step(self, data):
        x, y = data
        teacher = self.frozen_teacher(x)
        for name in ("student_loss", "soft_targets_loss"):
            with tf.GradientTape() as tape:
                student = self.tapped_student(x, training=True)
                losses = self.reduced_losses(x, y, student, teacher, None)
            variables = self.trainable_variables
            gradients = tape.gradient(losses[name], variables)
            self.optimizer.apply(gradients, variables)
        return self.log_step(x, y, student, None, losses, self.combine(losses))


def test_a_training_step_of_ones_own_logs_in_one_line():
    distiller = TwoSteps(mlp(1), mlp(2), student_weight=0.3)
    optimizer = keras.optimizers.SGD(0.0)
    distiller.compile(optimizer, LABEL_LOSS, metrics=["accuracy"])
    history = fitted(distiller, epochs=1)
    by_hand = evaluated(distiller, *data())
    assert history.keys() == by_hand.keys()
    for name, value in by_hand.items():
        assert history[name] == [pytest.approx(value, rel=1e-5)]


def test_metrics_alone_name_no_loss_that_was_not_computed():
    class Silent(Distiller):
        def train_step(self, data):
            x, y = data
            return self.compute_metrics(x, y, self(x), None)

    distiller = Silent(mlp(1), mlp(2))
    distiller.compile("sgd", LABEL_LOSS, metrics=["accuracy"])
    history = fitted(distiller, epochs=1)
    assert history.keys() == {"accuracy", "loss"}  # the latter is Keras's
