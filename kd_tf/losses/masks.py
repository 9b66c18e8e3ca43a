"""Masks of positions: which ones count, as Keras masks say it.

Shapes: B examples, C channels, along the last axis; "..." stands for the grid
between them, such as time, or height and width. A mask is a tensor (B, ...),
true or not 0 where a position counts and false where it is padding.
"""

from typing import Any

from keras import ops

Tensor = Any


def mask_on_grid(mask: Tensor, x: Tensor) -> Tensor:
    """Brings a mask to the grid of an activation.

    Args:
        mask: Tensor (B, ...), with as many axes between examples and channels
            as `x`, or fewer: the missing ones are inner axes, all of whose
            positions count alike. On another grid the nearest position counts.
        x: Tensor (B, ..., C).

    Returns:
        Bool tensor (B, ..., 1) on the grid of `x`.

    Raises:
        ValueError: if the mask has more axes than `x` has before its channels.
    """
    num_axes = len(mask.shape)
    if num_axes > len(x.shape) - 1:
        raise ValueError(
            "`mask` must have one value a position, a tensor (B, ...) for "
            "activations (B, ..., C). Received: mask "
            f"{tuple(mask.shape)}, activations {tuple(x.shape)}"
        )
    mask = ops.cast(mask, "bool")
    for axis in range(1, num_axes):
        mask = _nearest(mask, x, axis)
    inner = [1] * (len(x.shape) - num_axes)
    mask = ops.reshape(mask, (*ops.shape(mask), *inner))
    return ops.logical_and(mask, ops.ones_like(x[..., :1], dtype="bool"))


def zero_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """Sets positions that do not count to 0, whatever they hold.

    Args:
        x: Tensor (B, ..., C).
        mask: As of `mask_on_grid`, or None where all positions count.

    Returns:
        Tensor of the shape of `x`; no gradient flows into what is left out.
    """
    if mask is None:
        return x
    return ops.where(mask_on_grid(mask, x), x, ops.zeros_like(x))


def _nearest(mask: Tensor, x: Tensor, axis: int) -> Tensor:
    old, new = mask.shape[axis], x.shape[axis]
    if old == new and old is not None:
        return mask
    old, new = ops.shape(mask)[axis], ops.shape(x)[axis]
    # The old position under the middle of each new one.
    indices = (2 * ops.arange(new) + 1) * old // (2 * new)
    return ops.take(mask, indices, axis=axis)
