"""Means of named losses over an epoch, for the logs of a training."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from kd_tf.distillation.taps import Forward

Tensor = Any


class EpochMeans:
    """Means over an epoch, by name. Not saved with a model.

    Args:
        names: Names of the losses that are known beforehand; others are added
            as they come.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.metrics = {name: keras.metrics.Mean(name=name) for name in names}

    def update(
        self, losses: Mapping[str, Tensor], *, num_examples: Any
    ) -> None:
        """Adds the losses of one batch.

        Args:
            losses: {name: scalar}, means over the batch of this replica.
            num_examples: Number of examples in the batch.
        """
        for name, loss in losses.items():
            if name not in self.metrics:
                # A subclass's own loss appears while a step is traced.
                with tf.init_scope():
                    self.metrics[name] = keras.metrics.Mean(name=name)
            self.metrics[name].update_state(loss, sample_weight=num_examples)


class WithLossLogs(keras.Model):
    """A model that logs the means of its losses.

    Its constructor sets `_means`, after that of Keras.
    """

    _means: EpochMeans

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Metrics of the student and means of all losses."""
        return [*super().metrics, *self._means.metrics.values()]

    def log_step(
        self,
        x: Any,
        y: Any,
        student: Forward,
        sample_weight: Any,
        losses: Mapping[str, Tensor],
        total: Tensor,
    ) -> dict[str, Tensor]:
        """Updates all metrics by one batch; returns what a step returns.

        For a `train_step` or `test_step` of your own.

        Args:
            x: Inputs, B examples.
            y: Labels, or None; without them no metrics of `compile` appear.
            student: `Forward` of the student.
            sample_weight: Weights, or None.
            losses: {name: scalar}, as `reduced_losses` returned them.
            total: Scalar, as `combine` returned it.

        Returns:
            {name: mean over the epoch so far}, of what was computed in this
            step and of nothing else.
        """
        num_examples = ops.shape(tf.nest.flatten(x)[0])[0]
        self._means.update(losses, num_examples=num_examples)
        self._loss_tracker.update_state(total, sample_weight=num_examples)
        logs = {self._loss_tracker.name: self._loss_tracker.result()}
        if y is not None:
            logs |= self.compute_metrics(x, y, student.outputs, sample_weight)
        means = self._means.metrics.items()
        return logs | {n: mean.result() for n, mean in means if n in losses}

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Tensor]:
        """As of Keras; losses appear by `log_step`, which updates them."""
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        return {n: v for n, v in logs.items() if n not in self._means.metrics}
