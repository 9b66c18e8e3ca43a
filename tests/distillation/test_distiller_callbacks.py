"""Callbacks see a Distiller as they see any Keras model."""

import keras
import pytest

from tests.distillation.distiller_cases import (
    HINT,
    assert_close,
    data,
    distil,
    evaluated,
    fitted,
    mlp,
)


def test_early_stopping_restores_the_best_weights():
    # Uphill, every epoch is worse than the one before.
    distiller = distil(
        ["soft_targets", HINT], optimizer=keras.optimizers.SGD(-0.1)
    )
    x, y = data()
    stop = keras.callbacks.EarlyStopping(
        "val_loss", patience=2, restore_best_weights=True
    )
    losses = fitted(
        distiller, epochs=9, validation_data=(x, y), callbacks=[stop]
    )["val_loss"]
    assert len(losses) == 3
    assert losses[0] < losses[1] < losses[2]
    assert evaluated(distiller, x, y)["loss"] == pytest.approx(losses[0])


def test_checkpoint_keeps_the_student_alone(tmp_path):
    distiller = distil(["soft_targets", HINT])
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "loss")
    fitted(distiller, callbacks=[saver])
    loaded = keras.models.load_model(tmp_path / "best.keras")
    assert_close(loaded.weights, distiller.student.weights)


def test_checkpoint_of_weights_loads_into_an_equal_distiller(tmp_path):
    path = tmp_path / "last.weights.h5"
    distiller = distil(["soft_targets", HINT])
    saver = keras.callbacks.ModelCheckpoint(
        path, "loss", save_weights_only=True
    )
    fitted(distiller, callbacks=[saver])
    other = distil(["soft_targets", HINT], models=(mlp(3), mlp(2, width=7)))
    other.load_weights(path)
    # Two layers of the student, one adapter, a kernel and a bias each.
    assert len(other.weights) == 6
    assert_close(other.weights, distiller.weights)
    assert evaluated(other, *data()) == pytest.approx(
        evaluated(distiller, *data())
    )


def test_tensorboard_gets_every_loss(tmp_path):
    pytest.importorskip("tensorboard")
    board = keras.callbacks.TensorBoard(tmp_path)
    fitted(distil(["soft_targets", HINT]), callbacks=[board])
    [written] = tmp_path.glob("train/events*")
    for name in ("loss", "student_loss", "soft_targets_loss", "hint_loss"):
        assert f"epoch_{name}".encode() in written.read_bytes()


class Killed(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_training_resumed_from_a_backup_ends_as_if_never_interrupted(tmp_path):
    def make():
        return distil(
            ["soft_targets", HINT],
            models=(mlp(1, dropout=0.5), mlp(2, width=7)),
            optimizer=keras.optimizers.Adam(0.1),
        )

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    whole = make()
    fitted(whole, epochs=4)
    with pytest.raises(KeyboardInterrupt):
        fitted(make(), epochs=4, callbacks=[backup(), Killed()])
    resumed = make()
    history = fitted(resumed, epochs=4, callbacks=[backup()])
    assert len(history["loss"]) == 2
    assert len(whole.weights) == 6
    assert_close(resumed.weights, whole.weights, rtol=1e-6)
    assert_close(
        resumed.optimizer.variables, whole.optimizer.variables, rtol=1e-6
    )
