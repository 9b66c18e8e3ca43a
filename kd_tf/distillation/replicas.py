"""Losses on several replicas of a distribution strategy.

Keras divides a loss by the number of replicas, so that their gradients add up
to those of one device. Here a loss is a mean over the batch of its replica
until the whole sum of losses is divided, once.
"""

from typing import Any

import tensorflow as tf

Tensor = Any


def num_replicas() -> int:
    """Number of replicas that train together; 1 without a strategy."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def divide_by_replicas(loss: Tensor) -> Tensor:
    """Returns the share of one replica in the loss of all."""
    replicas = num_replicas()
    return loss / replicas if replicas > 1 else loss


def undo_division(loss: Tensor) -> Tensor:
    """Returns the mean over a replica's batch, of a loss that Keras divided."""
    replicas = num_replicas()
    return loss * replicas if replicas > 1 else loss
