"""Checkpoints after every epoch, to resume from and to choose the best of."""

import math
import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from kd_tf.training.array_files import (
    DamagedFileError,
    Logs,
    Variable,
    assign,
    read_arrays,
    write_arrays,
)


class EpochCheckpoint(keras.callbacks.Callback):
    """Saves what training needs to go on to the bit, and the best epoch.

    After every epoch it writes, atomically, all variables of the trainer
    (weights, adapters, statistics, states of random generators), the
    optimizer's, and the history so far; and a second file with the weights of
    the model alone, of the best epoch. An epoch is better if its `val_SCORE`
    is higher, or equal with a lower `val_loss`.

    One folder serves one training: give each call of `fit` its own, such as a
    sub-folder by number, or the second resumes where the first ended.

    Args:
        folder: Folder for the two files; made if it is missing.
        model: The model whose weights are kept; what is fitted may be another
            around it, such as a `Distiller`.
        score: Name of the metric to choose by; more is better.
        variables: Further variables without which training cannot go on, such
            as `MagnitudePruning.variables`.
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
        variables: Iterable[Variable] = (),
        first_eligible_epoch: int = 0,
    ) -> None:
        super().__init__()
        self._score, self._key = score, f"val_{score}"
        os.makedirs(folder, exist_ok=True)
        self._state_path = os.path.join(folder, "state.npz")
        self._best_path = os.path.join(folder, "best.npz")
        # Not `self.model`, which Keras sets to the model that is fitted.
        self._kept_model = model
        self._further_variables = list(variables)
        self.first_eligible_epoch = first_eligible_epoch
        self.history: list[Logs] = []

    @property
    def best_epoch(self) -> int | None:
        """Number of the best epoch, from 0, or None before there is one."""
        return self._best_of(self.history)

    def resume(self, trainer: keras.Model) -> int:
        """Restores the last epoch that was written, if there is one.

        Args:
            trainer: The compiled model about to be fitted.

        Returns:
            The epoch to begin with, for `initial_epoch`.

        Warns:
            UserWarning: if the files are damaged, of an earlier layout, or of
                another model; then nothing is restored.
        """
        trainer.optimizer.build(trainer.trainable_variables)
        self.set_model(trainer)
        self.history = []
        if os.path.exists(self._state_path):
            try:
                self._restore()
            except DamagedFileError as error:
                warnings.warn(
                    "A checkpoint cannot be resumed from; training starts "
                    f"anew. Received: {error}",
                    stacklevel=2,
                )
        return len(self.history)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Writes the epoch, and its weights apart if it is the best."""
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self._check(epoch, logs)
        self.history.append(logs)
        if self.best_epoch == epoch:
            write_arrays(self._best_path, self._kept_model.variables)
        write_arrays(self._state_path, self._variables(), self.history)

    def restore_best(self) -> None:
        """Puts the weights of the best epoch back into the model.

        Raises:
            ValueError: if no epoch could be the best, or its file is damaged.
        """
        if self.best_epoch is None:
            raise ValueError(
                "No epoch can be the best. Train for more than "
                "`first_eligible_epoch` epochs. Received: "
                f"first_eligible_epoch={self.first_eligible_epoch}, "
                f"epochs={len(self.history)}"
            )
        variables = self._kept_model.variables
        try:
            arrays, _ = read_arrays(self._best_path, variables)
        except DamagedFileError as error:
            raise ValueError(
                "The weights of the best epoch cannot be read. Delete the "
                f"folder and train again. Received: {error}"
            ) from error
        assign(variables, arrays)

    def _restore(self) -> None:
        variables = self._variables()
        arrays, history = read_arrays(self._state_path, variables)
        if not all(logs.keys() >= {self._key, "val_loss"} for logs in history):
            raise DamagedFileError(
                f"{self._state_path}, with epochs not scored by '{self._score}'"
            )
        if self._best_of(history) is not None:
            read_arrays(self._best_path, self._kept_model.variables)
        # Only now, for what is damaged must leave no trace.
        assign(variables, arrays)
        self.history = history

    def _best_of(self, history: Sequence[Logs]) -> int | None:
        def rank(epoch: int) -> tuple[float, float, int]:
            logs = history[epoch]
            # The negated epoch makes the earliest win among equals.
            return logs[self._key], -logs["val_loss"], -epoch

        eligible = range(self.first_eligible_epoch, len(history))
        return max(eligible, key=rank, default=None)

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

    def _variables(self) -> list[Variable]:
        """All that training needs to go on, each once, in a stable order."""
        variables = [
            *self._kept_model.variables,
            *self.model.variables,
            *self.model.optimizer.variables,
            *self._further_variables,
        ]
        return list({_key_of(v): v for v in variables}.values())


def _key_of(variable: Variable) -> int:
    # Keras's variables wrap TensorFlow's, and either may be given.
    is_keras = isinstance(variable, keras.Variable)
    return id(variable.value if is_keras else variable)
