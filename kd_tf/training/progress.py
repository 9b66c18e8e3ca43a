"""One line an epoch: where a training is, how good, how much longer."""

import time

import keras
from absl import logging


class ProgressLines(keras.callbacks.Callback):
    """Logs stage, epoch, score and time left; no bars, no backspaces.

    Args:
        stage: Name of the stage.
        checkpoint: `EpochCheckpoint` that knows the best epoch; comes before
            this in the list of callbacks.
        score: Name of the score in the logs.
    """

    def __init__(self, stage, checkpoint, score):
        super().__init__()
        self._stage, self._checkpoint, self._score = stage, checkpoint, score

    def on_train_begin(self, logs=None):
        self._start, self._done = time.monotonic(), 0

    def on_epoch_end(self, epoch, logs=None):
        self._done += 1
        epochs = self.params["epochs"]
        each = (time.monotonic() - self._start) / self._done
        best = self._checkpoint.best_epoch
        logging.info(
            "%s: epoch %d of %d, %s left, %s %.4f%s, loss %.4f",
            self._stage,
            epoch + 1,
            epochs,
            _duration(each * (epochs - epoch - 1)),
            self._score,
            logs[self._score],
            "" if best is None else f" (best in {best + 1})",
            logs["loss"],
        )


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
