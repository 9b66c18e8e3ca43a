"""Brings activations with grids of any kind to one grid.

Shapes: B examples, C channels, along the last axis; "..." stands for one to
three axes of a grid between them; T for tokens.
"""

import dataclasses
import math
from typing import Any

from keras import ops

from kd_tf.distillation.taps import Shape
from kd_tf.losses.grids import resize_grid

Tensor = Any

MOST_AXES = 3  # of a grid that can be resized
_MOST_EXTRA = 2  # tokens before those of the grid: class and distillation


@dataclasses.dataclass(frozen=True)
class TokenGrid:
    """How the tokens of a layer form a grid, row by row.

    Attributes:
        num_extra: Number of tokens before the grid, which are dropped.
        height: Rows of the grid.
        width: Columns of the grid.
    """

    num_extra: int
    height: int
    width: int


def match_grid(student: Tensor, teacher: Tensor) -> Tensor:
    """Resizes a student's activation to the grid of the teacher's.

    Args:
        student: Float tensor (B, ..., C of the student).
        teacher: Float tensor (B, ..., C of the teacher), with as many axes.

    Returns:
        Tensor (B, ..., C of the student) on the teacher's grid: averaged over
        blocks, then interpolated linearly.
    """
    grid = tuple(ops.shape(teacher)[1:-1])
    if len(grid) < MOST_AXES:
        return resize_grid(student, grid)
    # Linear in each axis, so that two axes and then the third will do: first
    # as (B D, H, W), then as (B, D, H W).
    batch, depth, *_ = ops.shape(student)
    width = student.shape[-1]
    images = ops.reshape(student, (-1, *ops.shape(student)[2:-1], width))
    images = resize_grid(images, grid[1:])
    plane = grid[1] * grid[2]
    planes = ops.reshape(images, (batch, depth, plane, width))
    planes = resize_grid(planes, (grid[0], plane))
    return ops.reshape(planes, (batch, *grid, width))


def check_ranks(student: Shape, teacher: Shape) -> None:
    """Raises ValueError if shapes have different numbers of axes."""
    if len(student) != len(teacher):
        raise ValueError(
            "Activations of different rank cannot be made equal. Pair two "
            "grids with the same number of axes, or two vectors. Received: "
            f"student {student}, teacher {teacher}"
        )


def check_resizable(student: Shape, teacher: Shape) -> None:
    """Raises ValueError if `match_grid` cannot resize so many axes."""
    if len(student) > MOST_AXES + 2:
        raise ValueError(
            f"Grids of more than {MOST_AXES} axes cannot be resized. Pair "
            "layers with equal grids. Received: student "
            f"{student}, teacher {teacher}"
        )


def token_grids(
    student: Shape, teacher: Shape
) -> tuple[TokenGrid | None, TokenGrid | None]:
    """Finds the grids of tokens (B, T, C) paired with (B, H, W, C).

    Args:
        student: Shape of the student's activation.
        teacher: Shape of the teacher's.

    Returns:
        For each the grid that its tokens form; None if it has no tokens, or
        the other no grid.

    Raises:
        ValueError: if tokens form no grid in the proportions of the other's.
    """
    if len(student) == 3 and len(teacher) == 4:
        return _token_grid(student, teacher), None
    if len(student) == 4 and len(teacher) == 3:
        return None, _token_grid(teacher, student)
    return None, None


def with_grid(shape: Shape, grid: TokenGrid | None) -> Shape:
    """The shape (B, H, W, C) of tokens (B, T, C); others as they are."""
    if grid is None:
        return tuple(shape)
    return shape[0], grid.height, grid.width, shape[-1]


def tokens_to_grid(x: Tensor, grid: TokenGrid | None) -> Tensor:
    """Lays tokens (B, T, C) out as (B, H, W, C); others stay as they are."""
    if grid is None:
        return x
    x = x[:, grid.num_extra :]
    return ops.reshape(x, (-1, grid.height, grid.width, x.shape[-1]))


def _token_grid(tokens: Shape, grid: Shape) -> TokenGrid:
    num_tokens, height, width = tokens[1], *grid[1:-1]
    if num_tokens and height and width:
        divisor = math.gcd(height, width)
        # The smallest grid of these proportions.
        height, width = height // divisor, width // divisor
        for extra in range(min(_MOST_EXTRA + 1, num_tokens)):
            scale = math.isqrt((num_tokens - extra) // (height * width))
            if scale**2 * height * width == num_tokens - extra:
                return TokenGrid(extra, scale * height, scale * width)
    raise ValueError(
        "Tokens paired with a grid must form one of its proportions, with up "
        f"to {_MOST_EXTRA} tokens before it. Pair a keras.layers.Reshape of "
        "the tokens, or give an adapter of your own. Received: tokens "
        f"{tokens}, grid {grid}"
    )
