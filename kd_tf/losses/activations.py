"""Activations of a student and its teacher, made ready for a loss.

Shapes: B examples, C channels, along the last axis; "..." stands for the grid
between them, such as height and width, and P for the number of its positions.
"""

from typing import Any, Literal

from keras import ops

from kd_tf.losses.masks import mask_on_grid, zero_padding

Tensor = Any
What = Literal["width", "grid"]


def comparable_activations(
    student: Tensor,
    teacher: Tensor,
    *same: What,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Casts both to float32, flattens grids, and stops the teacher's gradient.

    Args:
        student: Float tensor (B, ..., C of the student).
        teacher: Float tensor (B, ..., C of the teacher).
        *same: What must be the same.
        mask: Tensor (B, ...), false where a position is padding, or None.

    Returns:
        Two float32 tensors (B, P, C), 0 where a position is padding.

    Raises:
        ValueError: if something differs that must be the same.
    """
    for what in same:
        check_same(student, teacher, what)
    student, teacher = zero_padding(student, mask), zero_padding(teacher, mask)
    return flatten_grid(student), ops.stop_gradient(flatten_grid(teacher))


def check_same(student: Tensor, teacher: Tensor, what: What) -> None:
    """Raises if two activations differ in width or grid.

    Args:
        student: Tensor (B, ..., C of the student).
        teacher: Tensor (B, ..., C of the teacher).
        what: What must be the same.

    Raises:
        ValueError: if it is not.
    """
    axes = {"width": slice(-1, None), "grid": slice(1, -1)}[what]
    lengths = student.shape[axes], teacher.shape[axes]
    # Unknown lengths that differ fail later, in the arithmetic.
    if len(lengths[0]) != len(lengths[1]) or any(
        s != t and None not in (s, t) for s, t in zip(*lengths, strict=True)
    ):
        raise ValueError(
            f"The activations must have the same {what}. Received: student "
            f"{tuple(student.shape)}, teacher {tuple(teacher.shape)}"
        )


def flatten_grid(x: Tensor) -> Tensor:
    """Returns (B, ..., C) as float32 (B, P, C)."""
    x = ops.cast(x, "float32")
    return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))


def count_positions(mask: Tensor | None, x: Tensor) -> Tensor | None:
    """Lists which positions count.

    Args:
        mask: Tensor (B, ...), false where a position is padding, or None.
        x: Tensor (B, ..., C).

    Returns:
        Float32 tensor (B, P, 1), 1 where one counts; None without a mask.
    """
    return None if mask is None else flatten_grid(mask_on_grid(mask, x))


def mean_over_positions(values: Tensor, counts: Tensor | None) -> Tensor:
    """Averages over positions and channels.

    Args:
        values: Float32 tensor (B, P, C).
        counts: What `count_positions` returned.

    Returns:
        Float32 tensor (B,), 0 for an example of which no position counts.
    """
    if counts is None:
        return ops.mean(values, axis=(1, 2))
    total = ops.sum(ops.mean(values, axis=2) * counts[..., 0], axis=1)
    return total / ops.maximum(ops.sum(counts, axis=(1, 2)), 1.0)
