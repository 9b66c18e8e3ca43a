"""Resizes activations to another grid.

Shapes: B examples, C channels, along the last axis; "..." stands for one or
two axes of a grid between them.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import ops

from kd_tf.losses.masks import mask_on_grid, zero_padding

Tensor = Any


def resize_grid(x: Tensor, grid: Sequence[Any]) -> Tensor:
    """Resizes activations: averages over blocks, then interpolates linearly.

    Averaging first lets every position count when a grid shrinks. Where a
    length is not known beforehand, it only interpolates.

    Args:
        x: Float tensor (B, ..., C).
        grid: Lengths of the new axes; integers, or scalar tensors where a
            model takes inputs of any size.

    Returns:
        Tensor (B, ..., C) on the new grid, of the same dtype.

    Raises:
        ValueError: if the numbers of axes differ, or exceed two.
    """
    if len(grid) != len(x.shape) - 2 or len(grid) > 2:
        raise ValueError(
            "Only grids with the same number of axes, one or two, can be made "
            f"equal. Received: activation {tuple(x.shape)} for a grid of "
            f"{len(grid)} axes"
        )
    is_known = all(
        isinstance(length, int) for length in (*x.shape[1:-1], *grid)
    )
    if is_known and tuple(x.shape[1:-1]) == tuple(grid):
        return x
    if len(grid) == 1:
        # A line is an image one pixel wide.
        image = resize_grid(ops.expand_dims(x, 2), (grid[0], 1))
        return ops.squeeze(image, axis=2)
    if is_known:
        x = _average_blocks(x, grid)
    # Keras's own resizing takes no lengths that are tensors.
    return ops.cast(tf.image.resize(x, grid), x.dtype)


def resize_without_padding(
    x: Tensor, grid: Sequence[Any], mask: Tensor | None
) -> Tensor:
    """Resizes activations as `resize_grid` does, by what counts alone.

    Args:
        x: Float tensor (B, ..., C).
        grid: Lengths of the new axes.
        mask: Tensor (B, ...), false where a position is padding; or None.

    Returns:
        Float tensor (B, ..., C) on the new grid, 0 where that is padding.

    Raises:
        ValueError: if the numbers of axes differ, or exceed two.
    """
    if mask is None:
        return resize_grid(x, grid)
    counts = ops.cast(mask_on_grid(mask, x), x.dtype)
    total = resize_grid(zero_padding(x, mask), grid)
    # Where nothing counts, both are 0.
    share = ops.maximum(resize_grid(counts, grid), 1e-3)
    return zero_padding(total / share, mask)


def smaller_grid(one: Tensor, other: Tensor) -> list[Any]:
    """Lists the smaller length of each axis of two grids.

    Args:
        one: Tensor (B, ..., C).
        other: Tensor (B, ..., C of its own), with as many axes.

    Returns:
        Integers, or scalar tensors where a length is not known beforehand.
    """
    lengths = zip(ops.shape(one)[1:-1], ops.shape(other)[1:-1], strict=True)
    return [_smaller(*pair) for pair in lengths]


def _smaller(one: Any, other: Any) -> Any:
    if isinstance(one, int) and isinstance(other, int):
        return min(one, other)
    return ops.minimum(one, other)


def _average_blocks(x: Tensor, grid: Sequence[int]) -> Tensor:
    block = [
        max(old // new, 1) for old, new in zip(x.shape[1:-1], grid, strict=True)
    ]
    if block == [1, 1]:
        return x
    # Without padding the last positions would be dropped.
    return ops.average_pool(
        x, block, padding="same", data_format="channels_last"
    )
