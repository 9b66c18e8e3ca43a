"""Vectors of length 1, with gradients that stay of ordinary size.

The slope of x / |x| is 1 / |x|, which has no limit as x nears zero: a head
that starts at zero, or examples that are all equal, would be thrown far away
by their first step. Here the values are exact, and so are the gradients of
vectors that are long enough; shorter ones get the gradient's direction, at
the size it has at the least length.
"""

from typing import Any

from keras import ops

Tensor = Any

# A smaller sum of squares is not divided by: rounding would decide.
LEAST_SQUARE = 1e-12
# Gradients of shorter vectors are those of a vector this long.
LEAST_LENGTH = 1e-2


def l2_normalize(
    x: Tensor,
    axis: int | tuple[int, ...] = -1,
    *,
    least_length: Any = LEAST_LENGTH,
) -> Tensor:
    """Divides by the length along an axis or axes; zero stays zero.

    Args:
        x: Float32 tensor.
        axis: Axis or axes that hold the numbers of one vector.
        least_length: Positive number or tensor that broadcasts to the
            lengths. The gradient is at most 1 / least_length times what
            comes in, and exact for vectors that are at least this long.

    Returns:
        Float32 tensor of the shape of `x`.
    """
    length = l2_length(x, axis)
    return damp_gradient(x / length, length / least_length)


def l2_length(x: Tensor, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Computes the length along an axis or axes, which are kept; never 0.

    Args:
        x: Float32 tensor.
        axis: Axis or axes; None for all of them.

    Returns:
        Float32 tensor, 1e-6 or more.
    """
    squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return ops.sqrt(ops.maximum(squares, LEAST_SQUARE))


def damp_gradient(x: Tensor, factor: Tensor) -> Tensor:
    """Returns a tensor as it is, and scales its gradient down.

    Args:
        x: Float32 tensor.
        factor: Float32 tensor, 0 or more, that broadcasts to `x`; the
            gradient is multiplied by the smaller of it and 1.

    Returns:
        `x` itself.
    """
    return _scale_gradient(x, ops.minimum(factor, 1.0))


@ops.custom_gradient
def _scale_gradient(x: Tensor, factor: Tensor) -> Any:
    def gradient(upstream: Tensor) -> tuple[Tensor, None]:
        return upstream * factor, None

    return x, gradient
