"""Losses on what a model answers: its logits.

Shapes: B examples, C classes. Every loss returns one value per example,
shaped (B,); the caller weighs and averages.
"""

from keras import ops


def soft_target_loss(student_logits, teacher_logits, temperature=4.0):
    """Divergence of the student's softened answer from the teacher's.

    A high temperature flattens both distributions, so that the student also
    learns which wrong classes the teacher finds nearly right.

    Args:
        student_logits: Float tensor (B, C), before softmax.
        teacher_logits: Float tensor (B, C), before softmax. No gradient
            flows into it.
        temperature: Positive divisor of the logits; 1 leaves them alone.

    Returns:
        Float32 tensor (B,), in nats, times temperature squared; the factor
        keeps the size of the gradient while the temperature varies.

    Raises:
        ValueError: if the two do not answer the same number of classes.

    Reference:
        Hinton et al., 2015, https://arxiv.org/abs/1503.02531, section 2.
    """
    _check_widths(student_logits, teacher_logits)
    student = _log_softmax(student_logits, temperature)
    teacher = ops.stop_gradient(_log_softmax(teacher_logits, temperature))
    divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
    return temperature**2 * divergence


def _log_softmax(logits, temperature):
    # Under mixed precision logits arrive as float16, too coarse for this.
    return ops.log_softmax(ops.cast(logits, "float32") / temperature, axis=-1)


def _check_widths(student_logits, teacher_logits):
    # Broadcasting would let a width of 1 pass in silence.
    if student_logits.shape[-1] != teacher_logits.shape[-1]:
        raise ValueError(
            "The student and the teacher must answer the same number of "
            "classes, along the last axis. Received: student "
            f"{tuple(student_logits.shape)}, teacher "
            f"{tuple(teacher_logits.shape)}"
        )
