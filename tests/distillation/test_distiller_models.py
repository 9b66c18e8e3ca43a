"""Targets, outputs and models of every kind."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kd_tf import Distiller, LossTerm
from kd_tf.losses import response
from tests.distillation.distiller_cases import (
    HINT,
    LABEL_LOSS,
    as_dict,
    conv,
    data,
    distil,
    evaluated,
    fitted,
    kernel,
    mlp,
    soft,
    two_outputs,
    values,
)


def one_hot(y):
    return np.eye(3, dtype="f")[y]


@pytest.mark.parametrize(
    ("encode", "loss"),
    [
        (lambda y: y, LABEL_LOSS),
        (lambda y: y[:, None], LABEL_LOSS),
        (lambda y: [y], LABEL_LOSS),
        (one_hot, keras.losses.CategoricalCrossentropy(from_logits=True)),
        (one_hot, "mse"),
    ],
)
def test_targets_may_be_classes_or_one_hot(encode, loss):
    x, y = data()
    logs = evaluated(distil("decoupled", loss=loss), x, encode(y))
    plain = mlp(1)
    plain.compile(loss=loss)
    expected = plain.evaluate(x, encode(y), verbose=0)
    assert logs["student_loss"] == pytest.approx(expected, rel=1e-5)
    by_hand = np.mean(
        response.decoupled_loss(plain(x), mlp(2, width=7)(x), labels=y)
    )
    assert logs["decoupled_loss"] == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("nest", [list, as_dict])
@pytest.mark.parametrize(
    ("losses", "counted"),
    [
        ("soft_targets", {"soft_targets_loss": "ab"}),
        ({"a": "soft_targets", "b": None}, {"soft_targets_loss_a": "a"}),
        (
            {"a": ["soft_targets"], "b": LossTerm("soft_targets", name="z")},
            {"soft_targets_loss_a": "a", "z_b": "b"},
        ),
    ],
)
def test_losses_by_output(losses, counted, nest):
    models = two_outputs(0, nest), two_outputs(5, nest)
    x, _ = data()
    logs = evaluated(distil(losses, models=models, weight=0), x)
    student, teacher = (
        dict(zip("ab", tf.nest.flatten(model(x)), strict=True))
        for model in models
    )
    by_hand = {
        name: sum(soft(student[output], teacher[output]) for output in outputs)
        for name, outputs in counted.items()
    }
    by_hand["loss"] = sum(by_hand.values())
    assert logs == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize(
    ("output", "label"), [(list, list), (list, as_dict), (as_dict, as_dict)]
)
def test_labels_losses_and_weights_by_output(output, label):
    models = two_outputs(0, output), two_outputs(5, output)
    x, y = data()
    other, weights = (y + 1) % 3, np.ones(6, "f")
    given = {}
    if output is label:  # Keras's own loss on labels refuses the rest
        weights = np.array([1, 0, 2, 1, 0, 3], "f")
        given["sample_weight"] = label([weights, np.ones(6, "f")])
    distiller = distil(
        "decoupled",
        models=models,
        loss={"a": LABEL_LOSS, "b": LABEL_LOSS},
        metrics={"a": ["accuracy"], "b": []},
    )
    logs = evaluated(distiller, x, label([y, other]), **given)
    student, teacher = (tf.nest.flatten(model(x)) for model in models)
    first, second = (
        np.array(response.decoupled_loss(*logits, labels=labels))
        for *logits, labels in zip(student, teacher, (y, other), strict=True)
    )
    by_hand = np.mean(weights * first) + np.mean(second)
    assert logs["decoupled_loss"] == pytest.approx(by_hand, rel=1e-5)
    first, second = (
        np.array(LABEL_LOSS.call(labels, logits))
        for labels, logits in zip((y, other), student, strict=True)
    )
    by_hand = np.mean(weights * first) + np.mean(second)
    assert logs["student_loss"] == pytest.approx(by_hand, rel=1e-5)
    assert "a_accuracy" in logs


def test_data_needs_no_labels_where_they_weigh_nothing():
    (x, _), student, teacher = data(), mlp(1), mlp(2, width=7)
    distiller = Distiller(student, teacher, student_weight=0)
    distiller.compile(keras.optimizers.SGD(0.0))
    history = distiller.fit(x, validation_data=(x, None), verbose=0).history
    by_hand = soft(student(x), teacher(x))
    names = "loss", "soft_targets_loss", "val_loss", "val_soft_targets_loss"
    assert history == {n: [pytest.approx(by_hand, rel=1e-5)] for n in names}
    assert evaluated(distiller, x)["loss"] == pytest.approx(by_hand, rel=1e-5)


def test_defaults_are_soft_targets_at_4_and_a_tenth_for_labels():
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    distiller = Distiller(student, teacher)
    distiller.compile("adam", LABEL_LOSS)
    labels = np.mean(LABEL_LOSS.call(y, student(x)))
    by_hand = 0.1 * labels + 0.9 * soft(student(x), teacher(x))
    assert evaluated(distiller, x, y)["loss"] == pytest.approx(
        by_hand, rel=1e-5
    )
    np.testing.assert_allclose(
        distiller.predict(x, verbose=0), student(x), rtol=1e-5
    )
    np.testing.assert_allclose(distiller(x), student(x), rtol=1e-5)


class Subclassed(keras.Model):
    def __init__(self, seed):
        super().__init__()
        self.inner = mlp(seed)

    def call(self, x, training=None):
        return self.inner(x, training=training)


def test_subclassed_models_are_distilled_on_their_outputs():
    x, _ = data()
    models = Subclassed(1), Subclassed(2)
    history = fitted(distil(models=models), epochs=1, batch_size=6)
    by_hand = soft(mlp(1)(x), mlp(2)(x))
    assert history["soft_targets_loss"] == [pytest.approx(by_hand, rel=1e-5)]
    with pytest.raises(ValueError, match="symbolic graph"):
        distil(HINT, models=(Subclassed(1), Subclassed(2)))


def test_teacher_takes_a_larger_image_than_the_student():
    def enlarge(x):
        return ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)

    student, teacher = conv(1, 2, size=4), conv(2, 3)
    distiller = Distiller(
        student,
        teacher,
        ["soft_targets", HINT],
        student_weight=0,
        teacher_input=enlarge,
    )
    distiller.compile()
    x, _ = data(4, (4, 4, 1))
    by_hand = soft(student(x), teacher(np.kron(x, np.ones((1, 2, 2, 1)))))
    logs = evaluated(distiller, x)
    assert logs["soft_targets_loss"] == pytest.approx(by_hand, rel=1e-4)


def two_inputs(seed):
    x = {"p": keras.Input((4,), name="p"), "q": keras.Input((2,), name="q")}
    hidden = keras.layers.Dense(
        5, kernel_initializer=kernel(seed), name="hidden"
    )(keras.layers.Concatenate()([x["p"], x["q"]]))
    logits = keras.layers.Dense(3, kernel_initializer=kernel(seed + 1))(hidden)
    return keras.Model(x, logits)


def test_inputs_may_be_a_dict():
    student, teacher, (p, y) = two_inputs(0), two_inputs(5), data()
    x = {"p": p, "q": p[:, :2]}
    distiller = distil(["soft_targets", HINT], models=(student, teacher))
    by_hand = soft(student(x), teacher(x))
    losses = distiller.fit(x, y, verbose=0).history["soft_targets_loss"]
    assert losses == [pytest.approx(by_hand, rel=1e-5)]
    np.testing.assert_allclose(
        distiller.predict(x, verbose=0), student(x), rtol=1e-5
    )


def test_teacher_runs_in_inference_mode_while_the_student_trains():
    (x, _), inner = data(), mlp(2, dropout=0.5)
    teacher = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization(), inner]
    )
    before = values(teacher.variables)
    student = mlp(1)
    by_hand = soft(student(x), teacher(x, training=False))
    history = fitted(distil(models=(student, teacher)), epochs=1, batch_size=6)
    assert history["soft_targets_loss"] == [pytest.approx(by_hand, rel=1e-5)]
    for old, variable in zip(before, teacher.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
