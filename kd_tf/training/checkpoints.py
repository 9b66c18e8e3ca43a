"""Checkpoints after every epoch, to resume from and to choose the best of."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

Variable = Any  # of Keras or of TensorFlow
Logs = dict[str, float]


class EpochCheckpoint(keras.callbacks.Callback):
    """Saves what training needs to go on to the bit, and the best epoch.

    After every epoch it writes, atomically, the model's variables (weights,
    statistics, states of random generators), the optimizer's, and the history
    so far; and a second file with the weights of the best epoch. An epoch is
    better if its `val_SCORE` is higher, or equal with a lower `val_loss`.

    Args:
        folder: Existing folder for the two files.
        model: The model whose weights are kept; what is fitted may be another
            around it, such as a `Distiller`.
        score: Name of the metric to choose by; more is better.
        also: Further variables without which training cannot go on, such as
            `MagnitudePruning.variables`.
        first_eligible_epoch: Earlier epochs, counted from 0, cannot be best.

    Raises:
        ValueError: at the end of an epoch whose loss is NaN or infinite, or
            that was not scored on `validation_data` with that metric.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        model: keras.Model,
        *,
        score: str = "accuracy",
        also: Iterable[Variable] = (),
        first_eligible_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._score, self._key = score, f"val_{score}"
        self._state_path = os.path.join(folder, "state.npz")
        self._best_path = os.path.join(folder, "best.npz")
        # Not `self.model`, which Keras sets to the model that is fitted.
        self._kept_model = model
        self._also = list(also)
        self._first_eligible_epoch = first_eligible_epoch
        self.history: list[Logs] = []

    @property
    def best_epoch(self) -> int | None:
        """Number of the best epoch, from 0, or None before there is one."""
        eligible = range(self._first_eligible_epoch, len(self.history))
        return max(eligible, key=self._rank, default=None)

    def resume(self, trainer: keras.Model) -> int:
        """Restores the last epoch that was written, if there is one.

        Args:
            trainer: The compiled model about to be fitted.

        Returns:
            The epoch to begin with, for `initial_epoch`.
        """
        trainer.optimizer.build(trainer.trainable_variables)
        self.set_model(trainer)
        if os.path.exists(self._state_path):
            with np.load(self._state_path, allow_pickle=False) as arrays:
                self.history = json.loads(str(arrays["history"]))
                _assign(self._variables(), arrays)
        return len(self.history)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Writes the epoch, and its weights apart if it is the best."""
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self._check(epoch, logs)
        self.history.append(logs)
        if self.best_epoch == epoch:
            _save(self._best_path, self._kept_model.variables)
        _save(self._state_path, self._variables(), self.history)

    def restore_best(self) -> None:
        """Puts the weights of the best epoch back into the model."""
        with np.load(self._best_path, allow_pickle=False) as arrays:
            _assign(self._kept_model.variables, arrays)

    def _check(self, epoch: int, logs: Logs) -> None:
        if not all(math.isfinite(value) for value in logs.values()):
            raise ValueError(
                f"Training diverged in epoch {epoch + 1}: a loss or metric is "
                "NaN or infinite. Try a lower learning rate. Received: "
                + ", ".join(f"{key}={value}" for key, value in logs.items())
            )
        if not logs.keys() >= {self._key, "val_loss"}:
            raise ValueError(
                "The best epoch cannot be chosen. Pass `validation_data` to "
                "`fit`, and compile the model with the metric "
                f"'{self._score}'. Received: {', '.join(logs)}"
            )

    def _rank(self, epoch: int) -> tuple[float, float, int]:
        logs = self.history[epoch]
        # The negated epoch makes the earliest win among equals.
        return logs[self._key], -logs["val_loss"], -epoch

    def _variables(self) -> list[Variable]:
        optimizer = self.model.optimizer.variables
        return [*self._kept_model.variables, *optimizer, *self._also]


def _save(
    path: str, variables: Sequence[Variable], history: Sequence[Logs] = ()
) -> None:
    arrays = {str(i): variable.numpy() for i, variable in enumerate(variables)}
    # Written beside and then renamed, so that a kill leaves the old file.
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        np.savez(file, history=json.dumps(list(history)), **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _assign(
    variables: Sequence[Variable], arrays: Mapping[str, np.ndarray]
) -> None:
    for i, variable in enumerate(variables):
        variable.assign(arrays[str(i)])
