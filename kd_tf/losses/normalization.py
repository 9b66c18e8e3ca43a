"""Vectors of length 1."""

from keras import ops

# A smaller sum of squares is not divided by: rounding would decide.
LEAST_SQUARE = 1e-12


def l2_normalize(x, axis=-1):
    """Divides by the length along an axis or axes; nothing stays nothing."""
    squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x / ops.sqrt(ops.maximum(squares, LEAST_SQUARE))
