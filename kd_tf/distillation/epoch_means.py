"""Means of named losses over an epoch."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

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
            losses: {name: scalar}.
            num_examples: Number of examples in the batch.
        """
        for name, loss in losses.items():
            if name not in self.metrics:
                # A subclass's own loss appears while a step is traced.
                with tf.init_scope():
                    self.metrics[name] = keras.metrics.Mean(name=name)
            self.metrics[name].update_state(
                loss * num_replicas(), sample_weight=num_examples
            )


def num_replicas() -> int:
    """Number of replicas, among which Keras divides a loss.

    Metrics need losses undivided.
    """
    return tf.distribute.get_strategy().num_replicas_in_sync
