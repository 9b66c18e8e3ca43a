"""Training of a model while a compression pass changes it, or after."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import keras

from kd_tf.schedules import Schedule


class Recovery(Protocol):
    """A function that trains a model in place, for a number of epochs.

    It knows the data, the losses and the teacher, so that a pass need not.

    Attributes:
        epochs: Number of epochs that a call trains.
        steps_per_epoch: Number of the optimizer's updates in each.
    """

    epochs: int
    steps_per_epoch: int

    def __call__(
        self,
        model: keras.Model,
        callbacks: Iterable[keras.callbacks.Callback] = (),
        *,
        variables: Iterable[Any] = (),
        first_eligible_epoch: int = 0,
        schedules: Mapping[str, Schedule] | None = None,
    ) -> None:
        """Trains the model in place, and leaves the best epoch's weights.

        Args:
            model: `keras.Model` to train.
            callbacks: Callbacks of the training, called before an epoch is
                scored and saved.
            variables: Variables of the pass that are saved with the model,
                because training cannot be resumed without them.
            first_eligible_epoch: Earlier epochs, counted from 0, cannot be
                the best.
            schedules: {quantity: function of the step}, to be recorded.
        """
