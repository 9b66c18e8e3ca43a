"""Weights that change while training goes on."""

import keras
import numpy as np
import pytest

from kd_tf.distillation.loss_weights import LossWeights
from kd_tf.schedules import linear
from tests.distillation.distiller_cases import (
    LABEL_LOSS,
    data,
    distil,
    evaluated,
    fitted,
    mlp,
    soft,
)

NAMES = ["student_loss", "regularization_loss", "a", "mine"]


def test_factors_by_hand():
    weights = LossWeights(0.25, {"a": 2.0})
    assert weights.factors(NAMES, 0) == dict(
        zip(NAMES, [0.25, 1.0, 1.5, 0.75], strict=True)
    )
    weights.change("student_loss", 0.5)
    weights.change("a", linear(0.0, 4.0, 8))
    changed = weights.factors(NAMES, 4)
    assert [float(changed[name]) for name in NAMES] == [0.5, 1.0, 1.0, 0.5]


def test_only_a_first_change_needs_a_new_compilation():
    weights = LossWeights(0.25, {"a": 2.0})
    assert [
        weights.change("a", value) for value in (1, 3, linear(0, 1, 9))
    ] == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a", -1, "`weight` must be"),
        ("a", "1", r"must be a number or a schedule. Received: weight='1'"),
        ("student_loss", 1.5, r"must lie in \[0, 1\].* Received: .*=1.5"),
        ("b", 1, "no distillation loss 'b'. Allowed: a. Received: 'b'"),
    ],
)
def test_invalid_changes_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        LossWeights(0.25, {"a": 2.0}).change(name, value)


class Changing(keras.callbacks.Callback):
    """Another pair of weights in each epoch; counts tracings."""

    def __init__(self, distiller):
        super().__init__()
        self.distiller = distiller

    def on_epoch_begin(self, epoch, logs=None):
        self.distiller.student_weight = [0.5, 0.25, 1.0][epoch]
        self.distiller.set_loss_weight("soft_targets_loss", [1, 2, 3][epoch])


def test_weights_changed_by_a_callback_take_effect_at_once(tmp_path):
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    distiller = distil(
        models=(student, teacher), optimizer=keras.optimizers.SGD(0.0)
    )
    traced = []
    compute_losses = distiller.compute_losses
    distiller.compute_losses = lambda *batch: (
        traced.append(1) or compute_losses(*batch)
    )
    history = fitted(
        distiller,
        epochs=3,
        validation_data=(x, y),
        callbacks=[Changing(distiller)],
    )
    labels = np.mean(LABEL_LOSS.call(y, student(x)))
    of_teacher = soft(student(x), teacher(x))
    by_hand = [
        w * labels + (1 - w) * weight * of_teacher
        for w, weight in [(0.5, 1), (0.25, 2), (1.0, 3)]
    ]
    np.testing.assert_allclose(history["loss"], by_hand, rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], by_hand, rtol=1e-5)
    assert distiller.student_weight == 1.0
    # Changes from the second on cost no tracing.
    num_traced = len(traced)
    distiller.student_weight = 0.5
    fitted(distiller, epochs=1, validation_data=(x, y))
    assert len(traced) == num_traced
    # Nothing new is saved, with the student or beside it.
    assert len(distiller.weights) == len(student.weights)


def test_a_changed_weight_is_one_given_from_the_beginning():
    given, changed = distil(weight=0.6), distil(weight=0.3)
    fitted(changed, epochs=1)
    changed.student.set_weights(given.student.get_weights())
    changed.student_weight = 0.6
    histories = fitted(given), fitted(changed)
    np.testing.assert_allclose(*(h["loss"] for h in histories), rtol=1e-5)


def test_a_schedule_may_take_the_place_of_a_number():
    distiller = distil(weight=0.3, optimizer=keras.optimizers.SGD(0.0))
    fitted(distiller, epochs=1)
    ramp = linear(1.0, 0.0, 4)
    distiller.student_weight = ramp
    assert distiller.schedules == {"student weight": ramp}
    logs = evaluated(distiller, *data())  # after two updates of four
    by_hand = 0.5 * (logs["student_loss"] + logs["soft_targets_loss"])
    assert logs["loss"] == pytest.approx(by_hand, rel=1e-5)
