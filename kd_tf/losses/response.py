"""Losses on what a model answers: its logits.

Shapes: B examples, C classes; "..." stands for the axes between them, such as
height and width where every pixel has an answer. Every loss returns one value
an answer, float32 (B, ...): one value an example where that is one answer.
The caller weighs and averages. No gradient flows into the teacher.
"""

from keras import ops

from kd_tf.losses.normalization import LEAST_SQUARE, l2_normalize


def soft_target_loss(student_logits, teacher_logits, temperature=4.0):
    """Divergence of the student's softened answer from the teacher's.

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
        ValueError: if the two do not answer the same number of classes, or
            only one.

    Reference:
        Hinton et al., 2015, https://arxiv.org/abs/1503.02531, section 2.
    """
    student, teacher = _class_logits(student_logits, teacher_logits)
    student = ops.log_softmax(student / temperature, axis=-1)
    teacher = ops.log_softmax(teacher / temperature, axis=-1)
    return temperature**2 * _divergence(student, teacher)


def logit_matching_loss(student_logits, teacher_logits):
    """Mean squared difference of the logits, each centred on its own mean.

    What softmax cannot see, a constant added to all logits, is not matched.

    Args:
        student_logits: Float tensor (B, ..., C).
        teacher_logits: Float tensor (B, ..., C).

    Returns:
        Float32 tensor (B, ...), in squared logits, 0 or more.

    Raises:
        ValueError: if the two do not answer the same number of classes, or
            only one.

    Reference:
        Ba and Caruana, 2014, https://arxiv.org/abs/1312.6184, section 2.2.
        They take the logits as they are; here the mean is taken off.
    """
    student, teacher = _class_logits(student_logits, teacher_logits)
    difference = _centred(student) - _centred(teacher)
    return ops.mean(ops.square(difference), axis=-1)


def decoupled_loss(
    student_logits,
    teacher_logits,
    labels,
    temperature=4.0,
    alpha=1.0,
    beta=8.0,
):
    """DKD: how sure of the right class, and how the wrong ones compare.

    In plain soft targets the second part fades as the teacher grows sure;
    here it keeps a weight of its own.

    Args:
        student_logits: Float tensor (B, ..., C).
        teacher_logits: Float tensor (B, ..., C).
        labels: Classes (B, ...) or one-hot (B, ..., C); of shares the
            greatest is taken.
        temperature: Positive divisor of the logits.
        alpha: Weight of the right class against all others, 0 or more.
        beta: Weight of the others among themselves, 0 or more.

    Returns:
        Float32 tensor (B, ...), in nats, times temperature squared.

    Raises:
        ValueError: if the two do not answer the same number of classes, or
            only one.

    Reference:
        Zhao et al., 2022, https://arxiv.org/abs/2203.08679, section 3.
    """
    student, teacher = _class_logits(student_logits, teacher_logits)
    target = _one_hot(ops.argmax(_one_hot(labels, student), axis=-1), student)
    student_target, student_others = _decouple(student / temperature, target)
    teacher_target, teacher_others = _decouple(teacher / temperature, target)
    return temperature**2 * (
        alpha * _divergence(student_target, teacher_target)
        + beta * _divergence(student_others, teacher_others)
    )


def dist_loss(
    student_logits, teacher_logits, temperature=4.0, beta=2.0, gamma=2.0
):
    """DIST: correlations instead of equality, over classes and over answers.

    A student too small to equal its teacher may still rank as it does: the
    classes of one answer, and the answers of the batch in one class.

    Args:
        student_logits: Float tensor (B, ..., C).
        teacher_logits: Float tensor (B, ..., C).
        temperature: Positive divisor of the logits.
        beta: Weight of the correlation over classes, 0 or more.
        gamma: Weight of the correlation over the answers, 0 or more.

    Returns:
        Float32 tensor (B, ...). Its mean is temperature squared times beta
        (1 - r over classes) + gamma (1 - r over answers), r in [-1, 1].

    Raises:
        ValueError: if the two do not answer the same number of classes, or
            only one.

    Reference:
        Huang et al., 2022, https://arxiv.org/abs/2205.10536, section 4;
        times temperature squared as in the authors' code.
    """
    student, teacher = _class_logits(student_logits, teacher_logits)
    student = ops.softmax(student / temperature, axis=-1)
    teacher = ops.softmax(teacher / temperature, axis=-1)
    over_classes = 0.5 * ops.sum(
        ops.square(
            l2_normalize(_centred(student)) - l2_normalize(_centred(teacher))
        ),
        axis=-1,
    )
    axes = tuple(range(len(student.shape) - 1))
    num_answers = ops.cast(ops.size(student[..., 0]), "float32")
    # Half the squared distance of unit vectors is 1 - r; one answer's term
    # times their number, so that the mean is what the paper writes.
    over_answers = (num_answers / 2) * ops.mean(
        ops.square(
            l2_normalize(_centred(student, axes), axes)
            - l2_normalize(_centred(teacher, axes), axes)
        ),
        axis=-1,
    )
    return temperature**2 * (beta * over_classes + gamma * over_answers)


def weighted_soft_label_loss(
    student_logits, teacher_logits, labels, temperature=4.0
):
    """WSLD: soft targets, lighter where the student beats its teacher.

    Args:
        student_logits: Float tensor (B, ..., C).
        teacher_logits: Float tensor (B, ..., C).
        labels: Classes (B, ...) or shares of them (B, ..., C).
        temperature: Positive divisor of the logits.

    Returns:
        Float32 tensor (B, ...): the soft target loss times a weight in
        [0, 1], 1 - exp(-student's cross-entropy / teacher's), which gets no
        gradient.

    Raises:
        ValueError: if the two do not answer the same number of classes, or
            only one.

    Reference:
        Zhou et al., 2021, https://arxiv.org/abs/2102.00650, section 4.
    """
    student, teacher = _class_logits(student_logits, teacher_logits)
    shares = _one_hot(labels, student)
    student_error = -ops.sum(shares * ops.log_softmax(student), axis=-1)
    teacher_error = -ops.sum(shares * ops.log_softmax(teacher), axis=-1)
    ratio = ops.stop_gradient(student_error) / (teacher_error + 1e-7)
    weight = 1 - ops.exp(-ratio)
    return weight * soft_target_loss(student, teacher, temperature)


def sigmoid_target_loss(student_logits, teacher_logits, temperature=4.0):
    """Soft targets where classes do not exclude each other.

    Args:
        student_logits: Float tensor (B, ..., C), before sigmoid.
        teacher_logits: Float tensor (B, ..., C), before sigmoid.
        temperature: Positive divisor of the logits.

    Returns:
        Float32 tensor (B, ...): binary divergence in nats, averaged over the
        classes, times temperature squared.

    Raises:
        ValueError: if the two do not answer the same number of classes.

    Reference:
        Yang et al., 2023, https://arxiv.org/abs/2308.06453, section 3.2.
    """
    student, teacher = _answers(student_logits, teacher_logits)
    student, teacher = student / temperature, teacher / temperature
    divergence = ops.sigmoid(teacher) * (
        ops.log_sigmoid(teacher) - ops.log_sigmoid(student)
    ) + ops.sigmoid(-teacher) * (
        ops.log_sigmoid(-teacher) - ops.log_sigmoid(-student)
    )
    return temperature**2 * ops.mean(divergence, axis=-1)


def value_matching_loss(student, teacher):
    """Squared distance between the quantities that two models answer.

    Args:
        student: Float tensor (B, ..., C): C quantities an answer, no classes.
        teacher: Float tensor (B, ..., C).

    Returns:
        Float32 tensor (B, ...): the mean over the quantities.

    Raises:
        ValueError: if the two do not answer equally many quantities.

    Reference:
        Saputra et al., 2019, https://arxiv.org/abs/1908.00858, section 3.1.
    """
    student, teacher = _answers(student, teacher)
    return ops.mean(ops.square(student - teacher), axis=-1)


def teacher_bounded_loss(student, teacher, labels, margin=0.0):
    """Squared error, but only where the student does worse than its teacher.

    Args:
        student: Float tensor (B, ..., C): C numbers an answer, no classes.
        teacher: Float tensor (B, ..., C).
        labels: True numbers, (B, ..., C), or (B, ...) where C is 1.
        margin: The student is to be better by this much, 0 or more.

    Returns:
        Float32 tensor (B, ...): the student's mean squared error, or 0 where
        with the margin it is no more than the teacher's.

    Raises:
        ValueError: if the two do not answer equally many numbers.

    Reference:
        Chen et al., 2017, "Learning efficient object detection models with
        knowledge distillation", NeurIPS, section 3.3.
    """
    student, teacher = _answers(student, teacher)
    labels = ops.cast(ops.reshape(labels, ops.shape(student)), "float32")
    student_error = ops.mean(ops.square(student - labels), axis=-1)
    teacher_error = ops.mean(ops.square(teacher - labels), axis=-1)
    behind = student_error + margin > teacher_error
    return ops.where(behind, student_error, ops.zeros_like(student_error))


def standardize_logits(logits):
    """Logits with mean 0 and standard deviation 1, for any loss above.

    The student then matches the order of the classes and how they compare,
    not the size of the teacher's logits, which a small model cannot reach.

    Args:
        logits: Float tensor (B, ..., C).

    Returns:
        Float32 tensor (B, ..., C).

    Reference:
        Sun et al., 2024, https://arxiv.org/abs/2403.01427, section 4.
    """
    centred = _centred(ops.cast(logits, "float32"))
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    return centred / ops.sqrt(ops.maximum(variance, LEAST_SQUARE))


def _class_logits(student, teacher):
    student, teacher = _answers(student, teacher)
    # Softmax of a single logit is 1 whatever it is: nothing would be learnt.
    if student.shape[-1] == 1:
        raise ValueError(
            "This loss compares classes. Allowed: at least two logits an "
            "answer; for one, 'sigmoid_targets', or 'teacher_bounded' if it "
            f"is a number. Received: answers {tuple(student.shape)}"
        )
    return student, teacher


def _answers(student, teacher):
    # Broadcasting would let a width of 1 pass in silence.
    if student.shape[-1] != teacher.shape[-1]:
        raise ValueError(
            "The student and the teacher must answer the same number of "
            "classes, along the last axis. Received: student "
            f"{tuple(student.shape)}, teacher {tuple(teacher.shape)}"
        )
    # Under mixed precision logits arrive as float16, too coarse for this.
    teacher = ops.stop_gradient(ops.cast(teacher, "float32"))
    return ops.cast(student, "float32"), teacher


def _divergence(student, teacher):
    """KL(teacher || student) of logarithms of probabilities, last axis."""
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)


def _decouple(logits, target):
    """Log probabilities: (right, wrong), and of the wrong ones alone."""
    # Far below any logit, yet finite: its probability is exactly 0.
    others = ops.where(target > 0, -1e9, logits)
    total = ops.logsumexp(logits, axis=-1)
    right = ops.sum(target * logits, axis=-1) - total
    wrong = ops.logsumexp(others, axis=-1) - total
    return ops.stack([right, wrong], axis=-1), ops.log_softmax(others, axis=-1)


def _one_hot(labels, logits):
    """Labels as float32 (B, ..., C), whether classes or one-hot came."""
    rank, num_classes = len(logits.shape), logits.shape[-1]
    if len(labels.shape) == rank and labels.shape[-1] == num_classes:
        return ops.cast(labels, "float32")
    if len(labels.shape) == rank and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, axis=-1)
    return ops.one_hot(ops.cast(labels, "int32"), num_classes, dtype="float32")


def _centred(x, axis=-1):
    return x - ops.mean(x, axis=axis, keepdims=True)
