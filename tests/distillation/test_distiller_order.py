"""Models in the wrong order, and students that cannot be trained."""

import warnings

import keras
import numpy as np
import pytest

from kd_tf import Distiller, LossTerm
from tests.distillation.distiller_cases import data, distil, evaluated, mlp

BIG, SMALL = mlp(1, width=40), mlp(2, width=4)  # 323 and 35 parameters


def test_a_student_far_larger_than_its_teacher_is_warned_about():
    with pytest.warns(UserWarning, match="323 parameters, its teacher 35") as w:
        Distiller(BIG, SMALL)
    assert "Distiller(student=..., teacher=...)" in str(w[0].message)
    assert w[0].filename == __file__


@pytest.mark.parametrize(
    "make",
    [
        lambda: Distiller(student=BIG, teacher=SMALL),
        lambda: Distiller(BIG, teacher=SMALL),
        lambda: Distiller(SMALL, BIG),
        lambda: Distiller(mlp(3, width=12), SMALL),
    ],
)
def test_names_and_usual_sizes_are_not_warned_about(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make()


def test_a_frozen_student_is_refused():
    student = mlp(1)
    student.trainable = False
    distiller = distil(models=(student, mlp(2)))
    with pytest.raises(ValueError, match="There is nothing to train") as raised:
        distiller.fit(*data(), verbose=0)
    assert "4 weights, all frozen" in str(raised.value)
    assert np.isfinite(evaluated(distiller, *data())["loss"])


def classes(count, name=None):
    layer = keras.layers.Dense(count, name=name)
    return keras.Sequential([keras.Input((4,)), layer])


def test_unequal_numbers_of_classes_are_refused_at_once():
    with pytest.raises(ValueError, match="same number of classes") as raised:
        Distiller(classes(3), classes(4))
    assert "Received: student 3, teacher 4" in str(raised.value)
    # Relations between examples need no equal widths.
    Distiller(classes(3), classes(4), "rkd_distance")
    chosen = LossTerm("soft_targets", transform=lambda x: x[:, :3])
    Distiller(classes(3), classes(4), chosen)


def test_a_quantity_needs_no_axis_of_its_own():
    def model(value):
        x = keras.Input((4,))
        start = keras.initializers.Constant(value)
        y = keras.layers.Dense(1, kernel_initializer=start)(x)
        return keras.Model(x, keras.layers.Reshape(())(y))

    x, _ = data()
    y = np.zeros(6, "f")
    student, teacher = model(1.0), model(3.0)
    losses = ["value_matching", "teacher_bounded"]
    distiller = distil(losses, models=(student, teacher), loss="mse")
    logs = evaluated(distiller, x, y)
    sums = x.sum(axis=-1)
    assert logs["value_matching_loss"] == pytest.approx(
        np.mean((2 * sums) ** 2), rel=1e-5
    )
    assert logs["student_loss"] == pytest.approx(np.mean(sums**2), rel=1e-5)
    assert logs["teacher_bounded_loss"] == 0  # the student is better


def mean_of_examples(student, teacher):
    return keras.ops.mean(student - teacher, axis=0)


def needing(student, teacher, factor, margin=0.0):
    return student


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: distil(mean_of_examples).fit(*data(), verbose=0),
            r"must give one value an example.* Received: shape \(3,\)",
        ),
        (lambda: LossTerm(needing), "needs a value for `factor`"),
        (lambda: LossTerm(lambda student: student), "must take two tensors"),
        (lambda: LossTerm(keras.layers.Dense(3)), "must take two tensors"),
        (lambda: LossTerm(mlp(1)), "must take two tensors"),
    ],
)
def test_custom_losses_of_another_form_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_parameter_that_is_given_is_no_longer_missing():
    assert LossTerm(needing, factor=2.0).arguments == {"factor": 2.0}
