"""Fits a model so that it can be interrupted at any moment and resumed."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from kd_tf.training.checkpoints import EpochCheckpoint


def fit_resumably(
    trainer: keras.Model,
    checkpoint: EpochCheckpoint,
    *,
    epochs: int,
    training_data: Callable[[range], tuple[Any, int]],
    validation_data: Any,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Fits from the last epoch written, and restores the best one's weights.

    Args:
        trainer: Compiled model to fit: the model itself, or a `Distiller`.
        checkpoint: Where epochs are written to; its model is left with the
            weights of the best epoch. Its folder serves this training alone.
        epochs: Number of epochs of the whole training.
        training_data: Function from the numbers of the epochs that are left,
            from 0, to a dataset of all of them, shuffled, and its number of
            steps an epoch.
        validation_data: Dataset that epochs are scored on.
        callbacks: All callbacks, `checkpoint` among them; those that change
            weights come before it, so that it saves what they left.

    Raises:
        ValueError: if no epoch can be the best.
    """
    if not checkpoint.first_eligible_epoch < epochs:
        raise ValueError(
            "No epoch can be the best: all come before the first eligible "
            "one. Train for more epochs, or lower `first_eligible_epoch`. "
            f"Received: epochs={epochs}, "
            f"first_eligible_epoch={checkpoint.first_eligible_epoch}"
        )
    first_epoch = checkpoint.resume(trainer)
    if first_epoch < epochs:
        dataset, steps_per_epoch = training_data(range(first_epoch, epochs))
        trainer.fit(
            dataset,
            steps_per_epoch=steps_per_epoch,
            initial_epoch=first_epoch,
            epochs=epochs,
            shuffle=False,  # the dataset is shuffled already
            verbose=0,
            validation_data=validation_data,
            callbacks=list(callbacks),
        )
    checkpoint.restore_best()
