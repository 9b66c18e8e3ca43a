"""Losses on the outputs of classifiers: their logits.

Shapes: B examples, C classes; "..." stands for the axes between them, such as
height and width where every pixel has an output. Every loss returns one value
an output, float32 (B, ...): one value an example where that is one output.
The caller weighs and averages. No gradient flows into the teacher.

Losses that take labels give 0 where there is none; the others compare the
models at every output, labelled or not, and the caller's mean leaves out what
is padding.
"""

from typing import Any

from keras import ops

from kd_tf.losses.deviations import centre, count_outputs, unit_deviations
from kd_tf.losses.labels import has_label, labelled_only, one_hot_labels
from kd_tf.losses.normalization import LEAST_SQUARE, damp_gradient
from kd_tf.losses.outputs import comparable_logits, comparable_outputs
from kd_tf.ranges import NonNegative, Positive

Tensor = Any

# Gradients at logits that differ by less, such as those of a head that starts
# at zero, are those at logits that differ by this.
_LEAST_SPREAD = 0.2


def soft_target_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: Positive = 4.0,
) -> Tensor:
    """Divergence of the student's softened output from the teacher's.

    A high temperature flattens both distributions, so that the student also
    learns which wrong classes the teacher finds nearly right.

    Args:
        student_logits: Float tensor (B, ..., C), before softmax.
        teacher_logits: Float tensor (B, ..., C), before softmax.
        temperature: Positive divisor of the logits; 1 leaves them alone.

    Returns:
        Float32 tensor (B, ...), in nats, times temperature squared; the
        factor keeps the size of the gradient while the temperature varies.

    Raises:
        ValueError: if the two differ in C, or C is 1.

    Reference:
        Hinton et al., 2015, https://arxiv.org/abs/1503.02531, section 2.
    """
    student, teacher = comparable_logits(student_logits, teacher_logits)
    student = ops.log_softmax(student / temperature, axis=-1)
    teacher = ops.log_softmax(teacher / temperature, axis=-1)
    return temperature**2 * _divergence(student, teacher)


def logit_matching_loss(
    student_logits: Tensor, teacher_logits: Tensor
) -> Tensor:
    """Mean squared difference of the logits, each centred on its own mean.

    What softmax cannot see, a constant added to all logits, is not matched.

    Args:
        student_logits: Float tensor (B, ..., C).
        teacher_logits: Float tensor (B, ..., C).

    Returns:
        Float32 tensor (B, ...), in squared logits, 0 or more.

    Raises:
        ValueError: if the two differ in C, or C is 1.

    Reference:
        Ba and Caruana, 2014, https://arxiv.org/abs/1312.6184, section 2.2.
        They take the logits as they are; here the mean is taken off.
    """
    student, teacher = comparable_logits(student_logits, teacher_logits)
    difference = centre(student) - centre(teacher)
    return ops.mean(ops.square(difference), axis=-1)


def decoupled_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor,
    temperature: Positive = 4.0,
    alpha: NonNegative = 1.0,
    beta: NonNegative = 8.0,
) -> Tensor:
    """DKD: right class against all others, and the others among themselves.

    In plain soft targets the second part fades as the teacher grows sure;
    here it keeps a weight of its own.

    Args:
        student_logits: Float tensor (B, ..., C).
        teacher_logits: Float tensor (B, ..., C).
        labels: Classes (B, ...) or one-hot (B, ..., C); of fractions the
            greatest is taken. Classes outside of [0, C), such as 255 or -1,
            stand for no label.
        temperature: Positive divisor of the logits.
        alpha: Weight of the right class against all others, 0 or more.
        beta: Weight of the others among themselves, 0 or more.

    Returns:
        Float32 tensor (B, ...), in nats, times temperature squared; 0
        without gradient, and masked, where there is no label.

    Raises:
        ValueError: if the two differ in C, or C is 1.

    Reference:
        Zhao et al., 2022, https://arxiv.org/abs/2203.08679, section 3.
    """
    student, teacher = comparable_logits(student_logits, teacher_logits)
    fractions = one_hot_labels(labels, student)
    target = one_hot_labels(ops.argmax(fractions, axis=-1), student)
    student_target, student_others = _decouple(student / temperature, target)
    teacher_target, teacher_others = _decouple(teacher / temperature, target)
    values = temperature**2 * (
        alpha * _divergence(student_target, teacher_target)
        + beta * _divergence(student_others, teacher_others)
    )
    return labelled_only(values, has_label(fractions))


def dist_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: Positive = 4.0,
    beta: NonNegative = 2.0,
    gamma: NonNegative = 2.0,
    mask: Tensor | None = None,
) -> Tensor:
    """DIST: correlations instead of equality, over classes and over outputs.

    A student too small to equal its teacher may still rank as it does: the
    classes of one output, and the outputs of the batch in one class.

    Args:
        student_logits: Float tensor (B, ..., C).
        teacher_logits: Float tensor (B, ..., C).
        temperature: Positive divisor of the logits.
        beta: Weight of the correlation over classes, 0 or more.
        gamma: Weight of the correlation over the outputs, 0 or more.
        mask: Tensor (B, ...), false where an output is padding and to be
            left out of the correlations; None where all count.

    Returns:
        Float32 tensor (B, ...), 0 where masked. Its mean, over what counts,
        is temperature squared times beta (1 - r over classes) + gamma
        (1 - r over outputs), r in [-1, 1].

    Raises:
        ValueError: if the two differ in C, or C is 1.

    Reference:
        Huang et al., 2022, https://arxiv.org/abs/2205.10536, section 4;
        times temperature squared as in the authors' code.
    """
    student, teacher = comparable_logits(student_logits, teacher_logits)
    student = ops.softmax(student / temperature, axis=-1)
    teacher = ops.softmax(teacher / temperature, axis=-1)
    least_spread = _LEAST_SPREAD / temperature

    def deviations(p: Tensor, axis: int | tuple[int, ...]) -> Tensor:
        return unit_deviations(p, axis, least_spread=least_spread, mask=mask)

    # Half the squared distance of unit vectors is 1 - r.
    apart = ops.square(deviations(student, -1) - deviations(teacher, -1))
    over_classes = 0.5 * ops.sum(apart, axis=-1)
    outputs = tuple(range(len(student.shape) - 1))
    apart = ops.square(
        deviations(student, outputs) - deviations(teacher, outputs)
    )
    # Times the number of outputs, so that the mean is what the paper writes.
    over_outputs = (count_outputs(student, mask) / 2) * ops.mean(apart, axis=-1)
    return temperature**2 * (beta * over_classes + gamma * over_outputs)


def weighted_soft_label_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    labels: Tensor,
    temperature: Positive = 4.0,
) -> Tensor:
    """WSLD: soft targets, lighter where the student beats its teacher.

    Args:
        student_logits: Float tensor (B, ..., C).
        teacher_logits: Float tensor (B, ..., C).
        labels: Classes (B, ...) or fractions of them (B, ..., C). Classes
            outside of [0, C), such as 255 or -1, stand for no label.
        temperature: Positive divisor of the logits.

    Returns:
        Float32 tensor (B, ...): the soft target loss times a weight in
        [0, 1], 1 - exp(-student's cross-entropy / teacher's), which gets no
        gradient; 0, and masked, where there is no label.

    Raises:
        ValueError: if the two differ in C, or C is 1.

    Reference:
        Zhou et al., 2021, https://arxiv.org/abs/2102.00650, section 4.
    """
    student, teacher = comparable_logits(student_logits, teacher_logits)
    fractions = one_hot_labels(labels, student)
    student_error = -ops.sum(fractions * ops.log_softmax(student), axis=-1)
    teacher_error = -ops.sum(fractions * ops.log_softmax(teacher), axis=-1)
    ratio = ops.stop_gradient(student_error) / (teacher_error + 1e-7)
    weight = 1 - ops.exp(-ratio)
    values = weight * soft_target_loss(
        student, teacher, temperature=temperature
    )
    return labelled_only(values, has_label(fractions))


def sigmoid_target_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    *,
    temperature: Positive = 4.0,
) -> Tensor:
    """Soft targets where classes do not exclude each other.

    Args:
        student_logits: Float tensor (B, ..., C), before sigmoid.
        teacher_logits: Float tensor (B, ..., C), before sigmoid.
        temperature: Positive divisor of the logits.

    Returns:
        Float32 tensor (B, ...): binary divergence in nats, averaged over the
        classes, times temperature squared.

    Raises:
        ValueError: if the two differ in C.

    Reference:
        Yang et al., 2023, https://arxiv.org/abs/2308.06453, section 3.2.
    """
    student, teacher = comparable_outputs(student_logits, teacher_logits)
    student, teacher = student / temperature, teacher / temperature
    divergence = ops.sigmoid(teacher) * (
        ops.log_sigmoid(teacher) - ops.log_sigmoid(student)
    ) + ops.sigmoid(-teacher) * (
        ops.log_sigmoid(-teacher) - ops.log_sigmoid(-student)
    )
    return temperature**2 * ops.mean(divergence, axis=-1)


def standardize_logits(logits: Tensor) -> Tensor:
    """Brings logits to mean 0 and standard deviation 1, for any loss above.

    The student then matches the order of the classes and how they compare,
    not the size of the teacher's logits, which a small model cannot reach.

    Args:
        logits: Float tensor (B, ..., C).

    Returns:
        Float32 tensor (B, ..., C).

    Reference:
        Sun et al., 2024, https://arxiv.org/abs/2403.01427, section 4.
    """
    centred = centre(ops.cast(logits, "float32"))
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    deviation = ops.sqrt(ops.maximum(variance, LEAST_SQUARE))
    return damp_gradient(centred / deviation, deviation / _LEAST_SPREAD)


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) of logarithms of probabilities, last axis."""
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)


def _decouple(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities: (right, wrong), and of the wrong ones alone."""
    # Far below any logit, yet finite: its probability is exactly 0.
    others = ops.where(target > 0, -1e9, logits)
    total = ops.logsumexp(logits, axis=-1)
    right = ops.sum(target * logits, axis=-1) - total
    wrong = ops.logsumexp(others, axis=-1) - total
    return ops.stack([right, wrong], axis=-1), ops.log_softmax(others, axis=-1)
