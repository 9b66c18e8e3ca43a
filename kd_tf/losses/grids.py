"""Resizes activations to another grid.

Shapes: B examples, C channels, along the last axis; "..." stands for one or
two axes of a grid between them.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import ops

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
