"""Training that can be killed, and the epoch worth keeping."""

import json
import math
import os

import keras
import numpy as np


class EpochCheckpoint(keras.callbacks.Callback):
    """Keeps all that training needs to go on to the bit, and the best epoch.

    After every epoch it writes, atomically, the student's variables (weights,
    statistics, states of random generators), the optimizer's, and the history
    so far; and a second file with the weights of the best epoch. An epoch is
    better if its `val_SCORE` is higher, or equal with a lower `val_loss`.

    Args:
        folder: Existing folder for the two files.
        student: The model whose weights are kept.
        score: Name of the metric to choose by; more is better.
        also: Further variables without which training cannot go on, such as
            `MagnitudePruning.variables`.
        first_eligible_epoch: Earlier epochs, counted from 0, cannot be best.

    Raises:
        ValueError: at the end of an epoch whose loss is no number, or that
            was not scored on `validation_data` with that metric.
    """

    def __init__(
        self,
        folder,
        student,
        *,
        score="accuracy",
        also=(),
        first_eligible_epoch=0,
    ):
        super().__init__()
        self._score, self._key = score, f"val_{score}"
        self._state_path = os.path.join(folder, "state.npz")
        self._best_path = os.path.join(folder, "best.npz")
        self._student = student
        self._also = list(also)
        self._first_eligible_epoch = first_eligible_epoch
        self.history = []

    @property
    def best_epoch(self):
        """Number of the best epoch, from 0, or None before there is one."""
        eligible = range(self._first_eligible_epoch, len(self.history))
        return max(eligible, key=self._rank, default=None)

    def resume(self, model):
        """Restores the last epoch that was written, if there is one.

        Args:
            model: The compiled model about to be fitted.

        Returns:
            The epoch to begin with, for `initial_epoch`.
        """
        model.optimizer.build(model.trainable_variables)
        self.set_model(model)
        if os.path.exists(self._state_path):
            with np.load(self._state_path, allow_pickle=False) as arrays:
                self.history = json.loads(str(arrays["history"]))
                _assign(self._variables(), arrays)
        return len(self.history)

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if not all(math.isfinite(value) for value in logs.values()):
            raise ValueError(
                f"Training diverged in epoch {epoch + 1}. Allowed: losses "
                "that are numbers; try a lower learning rate. Received: "
                + ", ".join(f"{key}={value}" for key, value in logs.items())
            )
        if not logs.keys() >= {self._key, "val_loss"}:
            raise ValueError(
                "There is nothing to choose the best epoch by. Allowed: a fit "
                "with `validation_data` of a model compiled with the metric "
                f"'{self._score}'. Received: {', '.join(logs)}"
            )
        self.history.append(logs)
        if self.best_epoch == epoch:
            _save(self._best_path, self._student.variables)
        _save(self._state_path, self._variables(), self.history)

    def restore_best(self):
        """Puts the weights of the best epoch back into the student."""
        with np.load(self._best_path, allow_pickle=False) as arrays:
            _assign(self._student.variables, arrays)

    def _rank(self, epoch):
        logs = self.history[epoch]
        # The negated number makes the earliest win among equals.
        return logs[self._key], -logs["val_loss"], -epoch

    def _variables(self):
        optimizer = self.model.optimizer.variables
        return [*self._student.variables, *optimizer, *self._also]


def _save(path, variables, history=()):
    arrays = {str(i): variable.numpy() for i, variable in enumerate(variables)}
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        np.savez(file, history=json.dumps(list(history)), **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _assign(variables, arrays):
    for i, variable in enumerate(variables):
        variable.assign(arrays[str(i)])
