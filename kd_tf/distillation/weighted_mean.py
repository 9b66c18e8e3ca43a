"""The mean of a loss over a replica's batch, weighted as Keras does.

Shapes: B examples; "..." stands for axes that an example's output may have.
"""

from typing import Any

import keras
from keras import ops

from kd_tf.distillation.replicas import undo_division

Tensor = Any


class _Mean(keras.losses.Loss):
    """Averages as Keras does, masks and weights included."""

    def __init__(self) -> None:
        super().__init__(name="mean")

    def call(self, values: Tensor, outputs: Tensor) -> Tensor:
        return values


def weighted_mean(
    values: Tensor, sample_weight: Any, *, masked_by: Tensor | None = None
) -> Tensor:
    """Averages the values of a loss.

    Args:
        values: Float32 tensor (B, ...); a scalar is returned as it is.
        sample_weight: Weights (B,) or (B, ...), or None.
        masked_by: The output that the values belong to; its Keras mask, if
            it has one, leaves values out.

    Returns:
        Float32 scalar, not divided by the number of replicas.
    """
    if len(values.shape) == 0:
        return values  # Keras's own losses reduce themselves
    if sample_weight is not None:
        sample_weight = ops.convert_to_tensor(sample_weight)
        missing = len(values.shape) - len(sample_weight.shape)
        if missing > 0:
            # One weight an example weighs all the outputs it has.
            sample_weight = ops.reshape(
                sample_weight, (*ops.shape(sample_weight), *[1] * missing)
            )
        if missing < 0:
            # An example with one value has the mean weight of its outputs.
            axes = tuple(range(len(values.shape), len(sample_weight.shape)))
            sample_weight = ops.mean(sample_weight, axis=axes)
    if masked_by is None or len(masked_by.shape) > len(values.shape) + 1:
        masked_by = values  # a mask has one axis less than what it masks
    return undo_division(_Mean()(values, masked_by, sample_weight))
