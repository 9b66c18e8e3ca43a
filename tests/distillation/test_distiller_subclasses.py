"""Subclasses of the Distiller."""

import keras
import numpy as np
import pytest
from keras import ops

from kd_tf import Distiller
from tests.distillation.distiller_cases import (
    LABEL_LOSS,
    Shrinking,
    data,
    evaluated,
    fitted,
    mlp,
    soft,
)


def test_a_loss_added_by_a_subclass_is_counted_and_shown():
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    distiller = Shrinking(student, teacher, student_weight=0.3)
    distiller.compile(keras.optimizers.SGD(0.0), LABEL_LOSS)
    history = distiller.fit(
        x, y, validation_data=(x, y), epochs=2, batch_size=4, verbose=0
    ).history
    size = np.mean(np.square(student(x)))
    for prefix in ("", "val_"):
        assert history[f"{prefix}size"] == [pytest.approx(size, rel=1e-5)] * 2
        labels = np.mean(LABEL_LOSS.call(y, student(x)))
        by_hand = 0.3 * labels + 0.7 * (soft(student(x), teacher(x)) + size)
        assert (
            history[f"{prefix}loss"] == [pytest.approx(by_hand, rel=1e-5)] * 2
        )


def test_a_subclass_may_combine_in_its_own_way():
    class Product(Distiller):
        def combine(self, losses):
            return losses["student_loss"] * losses["soft_targets_loss"]

    distiller = Product(mlp(1), mlp(2))
    distiller.compile(keras.optimizers.SGD(0.1), LABEL_LOSS)
    logs = evaluated(distiller, *data())
    assert logs["loss"] == pytest.approx(
        logs["student_loss"] * logs["soft_targets_loss"], rel=1e-5
    )
    losses = fitted(distiller, epochs=4)["loss"]
    assert losses[-1] < losses[0]


def test_weights_of_a_subclass_are_saved_too(tmp_path):
    class Weighing(Distiller):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.built = False
            self.own = self.add_weight(shape=(), initializer="zeros")
            self.built = True

        def combine(self, losses):
            return ops.exp(-self.own) * super().combine(losses) + self.own

    first, second = (Weighing(mlp(1, dropout=0.5), mlp(2)) for _ in range(2))
    first.compile(keras.optimizers.SGD(0.1), LABEL_LOSS)
    first.fit(*data(), verbose=0)
    assert float(first.own) != 0
    first.save_weights(tmp_path / "all.weights.h5")
    second.load_weights(tmp_path / "all.weights.h5")
    assert float(second.own) == float(first.own)
