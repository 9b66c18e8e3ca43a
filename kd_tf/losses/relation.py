"""Losses on how the examples of a batch relate to one another.

Shapes: B examples, D numbers each (whatever the axes: they are flattened).
Student and teacher may differ in D, except where a loss says so. Every loss
returns one value an example, float32 (B,), on its relations to all others of
the batch; the caller weighs and averages. An example's own weight weighs its
row, not its part in the rows of others. No gradient flows into the teacher.
On several devices each sees the relations within its own share of the batch.
"""

from keras import ops

from kd_tf.losses.normalization import LEAST_SQUARE, l2_normalize


def rkd_distance_loss(student, teacher):
    """How far apart examples are, in units of the mean distance.

    Args:
        student: Float tensor (B, ...).
        teacher: Float tensor (B, ...).

    Returns:
        Float32 tensor (B,): Huber loss averaged over the other examples.

    Reference:
        Park et al., 2019, https://arxiv.org/abs/1904.05068, section 3.2.1.
    """
    student, teacher = _embeddings(student, teacher)
    difference = _scaled_distances(student) - _scaled_distances(teacher)
    return ops.sum(_huber(difference), axis=-1) / _others(student, 1)


def rkd_angle_loss(student, teacher):
    """The angle at which an example sees each two others.

    Memory and time grow with the third power of B.

    Args:
        student: Float tensor (B, ...).
        teacher: Float tensor (B, ...).

    Returns:
        Float32 tensor (B,): Huber loss of the cosines at this example,
        averaged over the pairs of others.

    Reference:
        Park et al., 2019, https://arxiv.org/abs/1904.05068, section 3.2.2.
    """
    student, teacher = _embeddings(student, teacher)
    difference = _cosines_at_each(student) - _cosines_at_each(teacher)
    num_pairs = _others(student, 1) * _others(student, 2)
    return ops.sum(_huber(difference), axis=(1, 2)) / num_pairs


def similarity_preserving_loss(student, teacher):
    """SP: which examples excite a model alike.

    Args:
        student: Float tensor (B, ...).
        teacher: Float tensor (B, ...).

    Returns:
        Float32 tensor (B,): squared difference of the rows of inner products,
        each row of length 1, averaged over the batch.

    Reference:
        Tung and Mori, 2019, https://arxiv.org/abs/1907.09682, section 3.1.
    """
    student, teacher = _embeddings(student, teacher)
    difference = l2_normalize(_products(student)) - l2_normalize(
        _products(teacher)
    )
    return ops.mean(ops.square(difference), axis=-1)


def correlation_congruence_loss(student, teacher, gamma=0.4):
    """CC: correlations between examples under a Gaussian kernel.

    Args:
        student: Float tensor (B, ...).
        teacher: Float tensor (B, ...).
        gamma: Sharpness of the kernel, 0 or more.

    Returns:
        Float32 tensor (B,) in [0, 1]: squared difference of
        exp(-gamma |a - b|^2), averaged over the batch.

    Reference:
        Peng et al., 2019, https://arxiv.org/abs/1904.01802, sections 3.2 and
        3.3. The kernel is exact here, not its Taylor expansion; embeddings
        have length 1, so that gamma means the same whatever their size.
    """
    student, teacher = _embeddings(student, teacher)

    def kernel(x):
        return ops.exp(-2 * gamma * (1 - _products(l2_normalize(x))))

    return ops.mean(ops.square(kernel(student) - kernel(teacher)), axis=-1)


def probabilistic_transfer_loss(student, teacher):
    """PKT: how probably an example would pick each other as its neighbour.

    Args:
        student: Float tensor (B, ...).
        teacher: Float tensor (B, ...).

    Returns:
        Float32 tensor (B,): divergence in nats of the student's neighbours
        from the teacher's, under the cosine kernel. As in the authors'
        code, an example counts among its own neighbours.

    Reference:
        Passalis and Tefas, 2018, https://arxiv.org/abs/1803.10837, section 3.
    """
    student, teacher = _embeddings(student, teacher)

    def log_neighbours(x):
        kernel = 0.5 * (1 + _products(l2_normalize(x)))
        kernel = ops.maximum(kernel, LEAST_SQUARE)
        return ops.log(kernel / ops.sum(kernel, axis=-1, keepdims=True))

    student, teacher = log_neighbours(student), log_neighbours(teacher)
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)


def contrastive_loss(student, teacher, temperature=0.1):
    """CRD: an example's student is nearest to its own teacher's answer.

    Args:
        student: Float tensor (B, ...), D numbers an example.
        teacher: Float tensor (B, ...), the same D.
        temperature: Positive divisor of the cosines.

    Returns:
        Float32 tensor (B,): cross-entropy in nats of picking the right one
        out of the teacher's B embeddings.

    Raises:
        ValueError: if the two differ in D.

    Reference:
        Tian et al., 2020, https://arxiv.org/abs/1910.10699, section 3.1. The
        negatives are the batch's own, in place of the memory bank, and
        normalized by softmax over the batch.
    """
    student, teacher = _embeddings(student, teacher)
    if student.shape[-1] != teacher.shape[-1]:
        raise ValueError(
            "The embeddings must have the same width. Received: student "
            f"(B, {student.shape[-1]}), teacher (B, {teacher.shape[-1]})"
        )
    cosines = ops.matmul(
        l2_normalize(student), ops.transpose(l2_normalize(teacher))
    )
    log_picked = ops.log_softmax(cosines / temperature, axis=-1)
    return -ops.diagonal(log_picked)


def _embeddings(student, teacher):
    """Both as float32 (B, D), the teacher without gradient."""

    def flat(x):
        x = ops.cast(x, "float32")
        return ops.reshape(x, (ops.shape(x)[0], -1))

    return flat(student), ops.stop_gradient(flat(teacher))


def _products(x):
    return ops.matmul(x, ops.transpose(x))


def _others(x, left_out):
    """B without so many examples; at least 1, for it is divided by."""
    num_examples = ops.cast(ops.shape(x)[0], "float32")
    return ops.maximum(num_examples - left_out, 1.0)


def _scaled_distances(x):
    # Centred, for a common offset would drown the differences in rounding.
    x = x - ops.mean(x, axis=0, keepdims=True)
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    squared = squares + ops.transpose(squares) - 2 * _products(x)
    # A root has no slope at 0, where every example is to itself.
    distances = ops.sqrt(ops.maximum(squared, LEAST_SQUARE))
    distances = distances * (1 - ops.eye(ops.shape(x)[0]))
    num_examples = ops.cast(ops.shape(x)[0], "float32")
    mean = ops.sum(distances) / (num_examples * _others(x, 1))
    return distances / ops.maximum(mean, LEAST_SQUARE)


def _cosines_at_each(x):
    differences = ops.expand_dims(x, 0) - ops.expand_dims(x, 1)
    directions = l2_normalize(differences)
    return ops.matmul(directions, ops.transpose(directions, (0, 2, 1)))


def _huber(x):
    size = ops.abs(x)
    return ops.where(size < 1, 0.5 * ops.square(x), size - 0.5)
