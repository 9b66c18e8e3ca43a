"""Vectors of length 1."""

from typing import Any

from keras import ops

Tensor = Any

# A smaller sum of squares is not divided by: rounding would decide.
LEAST_SQUARE = 1e-12


def l2_normalize(x: Tensor, axis: int | tuple[int, ...] = -1) -> Tensor:
    """Divides by the length along an axis or axes; zero stays zero."""
    squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x / ops.sqrt(ops.maximum(squares, LEAST_SQUARE))
