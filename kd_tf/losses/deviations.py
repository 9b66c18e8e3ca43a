"""Deviations from a mean, as correlations take them.

Shapes: B examples, C classes; "..." stands for the axes between them, such as
height and width where every pixel has an output.
"""

from typing import Any

from keras import ops

from kd_tf.losses.masks import zero_padding
from kd_tf.losses.normalization import l2_length, l2_normalize

Tensor = Any


def centre(x: Tensor, axis: int | tuple[int, ...] = -1) -> Tensor:
    """Takes the mean along an axis or axes off."""
    return x - ops.mean(x, axis=axis, keepdims=True)


def count_outputs(p: Tensor, mask: Tensor | None = None) -> Tensor:
    """Counts the outputs of (B, ..., C), those left out excepted."""
    if mask is None:
        return ops.cast(ops.size(p[..., 0]), "float32")
    return ops.sum(zero_padding(ops.ones_like(p[..., :1]), mask))


def unit_deviations(
    p: Tensor,
    axis: int | tuple[int, ...],
    *,
    least_spread: Any,
    mask: Tensor | None = None,
) -> Tensor:
    """Brings deviations from the mean to length 1.

    Args:
        p: Float32 tensor (B, ..., C).
        axis: Axis or axes of one vector.
        least_spread: Positive number; gradients at vectors that deviate
            less, in proportion to their length, are those at such a vector.
        mask: Tensor (B, ...), false where an output is to be left out; or
            None.

    Returns:
        Float32 tensor (B, ..., C), 0 where nothing deviates, or masked.
    """
    p = zero_padding(p, mask)
    centred = centre(p, axis) if mask is None else _centre_of(p, axis, mask)
    # In proportion, for softmax makes small probabilities' slopes small.
    least_length = least_spread * l2_length(p, axis)
    return l2_normalize(centred, axis, least_length=least_length)


def _centre_of(p: Tensor, axis: int | tuple[int, ...], mask: Tensor) -> Tensor:
    counts = zero_padding(ops.ones_like(p), mask)
    total = ops.sum(counts, axis=axis, keepdims=True)
    mean = ops.sum(p, axis=axis, keepdims=True) / ops.maximum(total, 1.0)
    return zero_padding(p - mean, mask)
