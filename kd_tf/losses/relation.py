"""Losses on how the examples of a batch relate to one another.

Shapes: B examples, D numbers each (all axes but the first are flattened).
Student and teacher may differ in D, except where a loss says so. Every loss
returns one value an example, float32 (B,), on its relations to all others of
the batch; the caller weighs and averages. An example's own weight weighs its
row, not its part in the rows of others. No gradient flows into the teacher.
On several devices each sees the relations within its own part of the batch.

`mask` is a tensor (B, ...), false at positions that are padding; there both
embeddings are set to 0, as if all sequences were padded with zeros. Where
there are no positions, in embeddings (B, D), a mask of them says nothing.
"""

from typing import Any

from keras import ops

from kd_tf.losses.masks import zero_padding
from kd_tf.losses.normalization import (
    LEAST_LENGTH,
    LEAST_SQUARE,
    damp_gradient,
    l2_length,
    l2_normalize,
)
from kd_tf.ranges import NonNegative, Positive

Tensor = Any

# Gradients at less likely neighbours are those at neighbours this likely.
_LEAST_KERNEL = 1e-3


def rkd_distance_loss(
    student: Tensor, teacher: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """RKD: Huber loss of the distances between examples, over their mean.

    Args:
        student: Float tensor (B, ...).
        teacher: Float tensor (B, ...).
        mask: Tensor (B, ...), false where a position is padding, or None.

    Returns:
        Float32 tensor (B,): Huber loss averaged over the other examples.

    Reference:
        Park et al., 2019, https://arxiv.org/abs/1904.05068, section 3.2.1.
    """
    student, teacher = _embeddings(student, teacher, mask)
    difference = _scaled_distances(student) - _scaled_distances(teacher)
    return ops.sum(_huber(difference), axis=-1) / _others(student, 1)


def rkd_angle_loss(
    student: Tensor, teacher: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """RKD: Huber loss of the angles at each example to two others.

    Memory and time grow with the third power of B.

    Args:
        student: Float tensor (B, ...).
        teacher: Float tensor (B, ...).
        mask: Tensor (B, ...), false where a position is padding, or None.

    Returns:
        Float32 tensor (B,): Huber loss of the cosines at this example,
        averaged over the pairs of others.

    Reference:
        Park et al., 2019, https://arxiv.org/abs/1904.05068, section 3.2.2.
    """
    student, teacher = _embeddings(student, teacher, mask)
    difference = _cosines_at_each(student) - _cosines_at_each(teacher)
    num_pairs = _others(student, 1) * _others(student, 2)
    return ops.sum(_huber(difference), axis=(1, 2)) / num_pairs


def similarity_preserving_loss(
    student: Tensor, teacher: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """SP: squared difference of the inner products between examples.

    Args:
        student: Float tensor (B, ...).
        teacher: Float tensor (B, ...).
        mask: Tensor (B, ...), false where a position is padding, or None.

    Returns:
        Float32 tensor (B,): squared difference of the rows of inner products,
        each row of length 1, averaged over the batch.

    Reference:
        Tung and Mori, 2019, https://arxiv.org/abs/1907.09682, section 3.1.
    """
    student, teacher = _embeddings(student, teacher, mask)
    difference = _similarities(student) - _similarities(teacher)
    return ops.mean(ops.square(difference), axis=-1)


def correlation_congruence_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    gamma: NonNegative = 0.4,
    mask: Tensor | None = None,
) -> Tensor:
    """CC: squared difference of a Gaussian kernel between examples.

    Args:
        student: Float tensor (B, ...).
        teacher: Float tensor (B, ...).
        gamma: Sharpness of the kernel, 0 or more.
        mask: Tensor (B, ...), false where a position is padding, or None.

    Returns:
        Float32 tensor (B,) in [0, 1]: squared difference of
        exp(-gamma |a - b|^2), averaged over the batch.

    Reference:
        Peng et al., 2019, https://arxiv.org/abs/1904.01802, sections 3.2 and
        3.3. The kernel is exact here, not its Taylor expansion; embeddings
        have length 1, so that gamma means the same whatever their size.
    """
    student, teacher = _embeddings(student, teacher, mask)

    def kernel(x: Tensor) -> Tensor:
        return ops.exp(-2 * gamma * (1 - _products(l2_normalize(x))))

    return ops.mean(ops.square(kernel(student) - kernel(teacher)), axis=-1)


def probabilistic_transfer_loss(
    student: Tensor, teacher: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """PKT: divergence of the probabilities that examples are neighbours.

    Args:
        student: Float tensor (B, ...).
        teacher: Float tensor (B, ...).
        mask: Tensor (B, ...), false where a position is padding, or None.

    Returns:
        Float32 tensor (B,): divergence in nats of the student's neighbours
        from the teacher's, under the cosine kernel. As in the authors'
        code, an example counts among its own neighbours.

    Reference:
        Passalis and Tefas, 2018, https://arxiv.org/abs/1803.10837, section 3.
    """
    student, teacher = _embeddings(student, teacher, mask)

    def log_neighbours(x: Tensor) -> Tensor:
        kernel = 0.5 * (1 + _products(l2_normalize(x)))
        kernel = ops.maximum(kernel, LEAST_SQUARE)
        shares = kernel / ops.sum(kernel, axis=-1, keepdims=True)
        return damp_gradient(ops.log(shares), kernel / _LEAST_KERNEL)

    student, teacher = log_neighbours(student), log_neighbours(teacher)
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)


def contrastive_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: Positive = 0.1,
    mask: Tensor | None = None,
) -> Tensor:
    """CRD: cross-entropy of finding the teacher's embedding of each example.

    Args:
        student: Float tensor (B, ...), D numbers an example.
        teacher: Float tensor (B, ...), the same D.
        temperature: Positive divisor of the cosines.
        mask: Tensor (B, ...), false where a position is padding, or None.

    Returns:
        Float32 tensor (B,): in nats; the choice is among the teacher's B
        embeddings, by their cosines with the student's.

    Raises:
        ValueError: if the two differ in D.

    Reference:
        Tian et al., 2020, https://arxiv.org/abs/1910.10699, section 3.1. The
        negatives are the batch's own, in place of the memory bank, and
        normalized by softmax over the batch.
    """
    student, teacher = _embeddings(student, teacher, mask)
    if student.shape[-1] != teacher.shape[-1]:
        raise ValueError(
            "The embeddings must have the same width. Received: student "
            f"(B, {student.shape[-1]}), teacher (B, {teacher.shape[-1]})"
        )
    # A low temperature multiplies the gradient of the cosines.
    least_length = LEAST_LENGTH / ops.minimum(temperature, 1.0)
    student = l2_normalize(student, least_length=least_length)
    teacher = l2_normalize(teacher)
    cosines = ops.matmul(student, ops.transpose(teacher))
    log_picked = ops.log_softmax(cosines / temperature, axis=-1)
    return -ops.diagonal(log_picked)


def _embeddings(
    student: Tensor, teacher: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Both as float32 (B, D), without padding; the teacher has no gradient."""

    def flat(x: Tensor) -> Tensor:
        x = ops.cast(x, "float32")
        if len(x.shape) > 2:
            x = zero_padding(x, mask)
        return ops.reshape(x, (ops.shape(x)[0], -1))

    return flat(student), ops.stop_gradient(flat(teacher))


def _products(x: Tensor) -> Tensor:
    return ops.matmul(x, ops.transpose(x))


def _similarities(x: Tensor) -> Tensor:
    """Rows of inner products, each brought to length 1."""
    # The slope of a row is as long as the examples are: relative to them.
    least_length = LEAST_LENGTH * l2_length(x)
    return l2_normalize(_products(x), least_length=least_length)


def _others(x: Tensor, num_excluded: int) -> Tensor:
    """B less some examples; at least 1, for it is divided by."""
    num_examples = ops.cast(ops.shape(x)[0], "float32")
    return ops.maximum(num_examples - num_excluded, 1.0)


def _scaled_distances(x: Tensor) -> Tensor:
    # Centred, for a common offset would drown the differences in rounding.
    x = x - ops.mean(x, axis=0, keepdims=True)
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    squared = squares + ops.transpose(squares) - 2 * _products(x)
    # A root has no slope at 0, where every example is to itself.
    distances = ops.sqrt(ops.maximum(squared, LEAST_SQUARE))
    distances = distances * (1 - ops.eye(ops.shape(x)[0]))
    num_examples = ops.cast(ops.shape(x)[0], "float32")
    mean = ops.sum(distances) / (num_examples * _others(x, 1))
    scaled = distances / ops.maximum(mean, LEAST_SQUARE)
    return damp_gradient(scaled, mean / LEAST_LENGTH)


def _cosines_at_each(x: Tensor) -> Tensor:
    differences = ops.expand_dims(x, 0) - ops.expand_dims(x, 1)
    directions = l2_normalize(differences)
    return ops.matmul(directions, ops.transpose(directions, (0, 2, 1)))


def _huber(x: Tensor) -> Tensor:
    size = ops.abs(x)
    return ops.where(size < 1, 0.5 * ops.square(x), size - 0.5)
