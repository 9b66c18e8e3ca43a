"""Bringing activations onto one grid.

Shapes: B examples, C channels, along the last axis; "..." stands for one or
two axes of a grid between them.
"""

from keras import ops


def resize_grid(x, grid):
    """Resizes activations: averages over blocks, then interpolates linearly.

    Averaging first lets every position count when a grid shrinks.

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
            "Only grids of equally many axes, one or two, can be made equal. "
            f"Received: activation {tuple(x.shape)} for a grid of "
            f"{len(grid)} axes"
        )
    if tuple(x.shape[1:-1]) == tuple(grid):
        return x
    if len(grid) == 1:
        # A line is an image one pixel wide.
        image = resize_grid(ops.expand_dims(x, 2), (grid[0], 1))
        return ops.squeeze(image, axis=2)
    x = _average_blocks(x, grid)
    return ops.image.resize(
        x, grid, interpolation="bilinear", data_format="channels_last"
    )


def _average_blocks(x, grid):
    lengths = [*x.shape[1:-1], *grid]
    if not all(isinstance(length, int) for length in lengths):
        return x
    block = [
        max(old // new, 1)
        for old, new in zip(x.shape[1:-1], grid, strict=True)
    ]
    if block == [1, 1]:
        return x
    return ops.average_pool(x, block, data_format="channels_last")
