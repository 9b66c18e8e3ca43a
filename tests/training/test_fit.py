import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf import EpochCheckpoint
from kd_tf.training.fit import fit_resumably

X = np.random.default_rng(0).normal(size=(32, 4)).astype("f")
Y = np.arange(32) % 3


def fit(folder, epochs, *, callbacks=(), **options):
    """Fits a new model; the epochs that data was asked for, and the model."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(
        keras.optimizers.Adam(0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    checkpoint = EpochCheckpoint(folder, model, **options)
    first_epochs = []

    def training_data(epochs_left):
        first_epochs.append(epochs_left[0])
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
        return data.repeat(len(epochs_left)), 4

    fit_resumably(
        model,
        checkpoint,
        epochs=epochs,
        training_data=training_data,
        validation_data=tf.data.Dataset.from_tensor_slices((X, Y)).batch(8),
        callbacks=[*callbacks, checkpoint],
    )
    return first_epochs, model, checkpoint


def test_training_goes_on_from_the_last_epoch_written(tmp_path):
    first_epochs, whole, expected = fit(tmp_path / "whole", 4)
    assert first_epochs == [0]
    assert fit(tmp_path / "halved", 2)[0] == [0]
    first_epochs, resumed, checkpoint = fit(tmp_path / "halved", 4)
    assert first_epochs == [2]
    assert checkpoint.history == expected.history
    for a, b in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_finished_training_reads_no_data_and_returns_its_best_epoch(tmp_path):
    _, trained, checkpoint = fit(tmp_path, 2)
    first_epochs, again, _ = fit(tmp_path, 2)
    assert first_epochs == []
    np.testing.assert_array_equal(
        trained.layers[0].kernel, again.layers[0].kernel
    )
    scores = again.evaluate(X, Y, verbose=0, return_dict=True)
    best = checkpoint.history[checkpoint.best_epoch]
    np.testing.assert_allclose(scores["loss"], best["val_loss"], rtol=1e-5)


def test_a_training_without_an_eligible_epoch_is_refused_at_once(tmp_path):
    with pytest.raises(
        ValueError, match=r"No epoch can be the best.*Received: epochs=2, first"
    ):
        fit(tmp_path, 2, first_eligible_epoch=2)
    assert not list(tmp_path.iterdir())


class StopAtOnce(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True


def test_a_training_stopped_before_an_eligible_epoch_is_reported(tmp_path):
    with pytest.raises(ValueError, match=r"No epoch can be the best.*epochs=1"):
        fit(tmp_path, 3, callbacks=[StopAtOnce()], first_eligible_epoch=1)


def test_each_training_in_a_folder_of_its_own_begins_anew(tmp_path):
    for call in range(2):
        first_epochs, _, checkpoint = fit(tmp_path / "recover" / str(call), 1)
        assert first_epochs == [0]
        assert len(checkpoint.history) == 1
