"""Outputs of a student and its teacher, made ready for a loss.

Shapes: B examples, C classes or quantities; "..." stands for the axes between
them, such as height and width where every pixel has an output.
"""

from typing import Any

from keras import ops

Tensor = Any


def comparable_outputs(
    student: Tensor, teacher: Tensor
) -> tuple[Tensor, Tensor]:
    """Casts both outputs to float32 and stops the teacher's gradient.

    Args:
        student: Float tensor (B, ..., C).
        teacher: Float tensor (B, ..., C).

    Raises:
        ValueError: if they differ in C.
    """
    # Broadcasting would let a width of 1 pass in silence.
    if student.shape[-1] != teacher.shape[-1]:
        raise ValueError(
            "The outputs of student and teacher must have the same number of "
            "classes or quantities, along the last axis. Received: student "
            f"{tuple(student.shape)}, teacher {tuple(teacher.shape)}"
        )
    # Under mixed precision outputs arrive as float16, too coarse for losses.
    teacher = ops.stop_gradient(ops.cast(teacher, "float32"))
    return ops.cast(student, "float32"), teacher


def comparable_logits(
    student: Tensor, teacher: Tensor
) -> tuple[Tensor, Tensor]:
    """Does what `comparable_outputs` does, for logits of two classes or more.

    Args:
        student: Float tensor (B, ..., C).
        teacher: Float tensor (B, ..., C).

    Raises:
        ValueError: if they differ in C, or C is 1.
    """
    student, teacher = comparable_outputs(student, teacher)
    # Softmax of a single logit is 1 whatever it is: nothing would be learnt.
    if student.shape[-1] == 1:
        raise ValueError(
            "This loss compares classes and needs at least two logits an "
            "output. For one logit use 'sigmoid_targets', for one quantity "
            "'value_matching' or 'teacher_bounded'. Received: outputs of "
            f"shape {tuple(student.shape)}"
        )
    return student, teacher
