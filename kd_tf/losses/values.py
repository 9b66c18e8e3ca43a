"""Losses on the outputs of models that predict quantities.

Shapes: B examples, C quantities; "..." stands for the axes between them, such
as height and width where every pixel has an output. Every loss returns one
value an output, float32 (B, ...): one value an example where that is one
output. The caller weighs and averages. No gradient flows into the teacher.
"""

from typing import Any

from keras import ops

from kd_tf.losses.labels import labelled_only
from kd_tf.losses.outputs import comparable_outputs
from kd_tf.ranges import NonNegative

Tensor = Any


def value_matching_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance between the quantities that two models predict.

    Args:
        student: Float tensor (B, ..., C).
        teacher: Float tensor (B, ..., C).

    Returns:
        Float32 tensor (B, ...): the mean over the quantities.

    Raises:
        ValueError: if the two differ in C.

    Reference:
        Saputra et al., 2019, https://arxiv.org/abs/1908.00858, section 3.1.
    """
    student, teacher = comparable_outputs(student, teacher)
    return ops.mean(ops.square(student - teacher), axis=-1)


def teacher_bounded_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    labels: Tensor,
    margin: NonNegative = 0.0,
) -> Tensor:
    """Squared error, but only where the student does worse than its teacher.

    Args:
        student: Float tensor (B, ..., C).
        teacher: Float tensor (B, ..., C).
        labels: True values, (B, ..., C), or (B, ...) where C is 1. NaN and
            infinity stand for no label; every finite number is a value, -1
            and 255 too.
        margin: The student is to be better by this much, 0 or more.

    Returns:
        Float32 tensor (B, ...): the student's mean squared error, or 0 where
        with the margin it is no more than the teacher's; 0, and masked,
        where one of the quantities has no label.

    Raises:
        ValueError: if the two differ in C.

    Reference:
        Chen et al., 2017, "Learning efficient object detection models with
        knowledge distillation", NeurIPS, section 3.3.
    """
    student, teacher = comparable_outputs(student, teacher)
    labels = ops.cast(ops.reshape(labels, ops.shape(student)), "float32")
    is_known = ops.isfinite(labels)
    # Zero times NaN is NaN, in the gradient too.
    labels = ops.where(is_known, labels, ops.zeros_like(labels))
    student_error = ops.mean(ops.square(student - labels), axis=-1)
    teacher_error = ops.mean(ops.square(teacher - labels), axis=-1)
    behind = student_error + margin > teacher_error
    values = ops.where(behind, student_error, ops.zeros_like(student_error))
    return labelled_only(values, ops.all(is_known, axis=-1))
