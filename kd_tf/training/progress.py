"""Progress of a training as lines of the log, one for each epoch."""

import time
from typing import Any

import keras
from absl import logging

from kd_tf.training.checkpoints import EpochCheckpoint


class ProgressLines(keras.callbacks.Callback):
    """Logs label, epoch, time left, score and loss after every epoch.

    Unlike a progress bar it reads alike on a terminal and in a file.

    Args:
        label: What is trained; each line begins with it.
        checkpoint: `EpochCheckpoint` that knows the best epoch; comes before
            this in the list of callbacks.
        score: Name of the score in the logs of an epoch.
    """

    def __init__(
        self, label: str, checkpoint: EpochCheckpoint, *, score: str
    ) -> None:
        super().__init__()
        self._label, self._checkpoint, self._score = label, checkpoint, score

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._start, self._epochs_done = time.monotonic(), 0

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Logs one line."""
        logs = logs or {}
        # Counted here, for a resumed training does not begin with epoch 0.
        self._epochs_done += 1
        epochs = self.params["epochs"]
        each = (time.monotonic() - self._start) / self._epochs_done
        best = self._checkpoint.best_epoch
        logging.info(
            "%s: epoch %d of %d, %s left, %s %.4f%s, loss %.4f",
            self._label,
            epoch + 1,
            epochs,
            _duration(each * (epochs - epoch - 1)),
            self._score,
            logs[self._score],
            "" if best is None else f" (best in {best + 1})",
            logs["loss"],
        )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
