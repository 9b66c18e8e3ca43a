"""Losses between inner activations of a student and of its teacher.

Shapes: B examples, C channels, along the last axis; "..." stands for the grid
between them, such as height and width, and P for the number of its positions.
Every loss returns one value an example, float32 (B,); the caller weighs and
averages. No gradient flows into the teacher. Where a loss needs equal widths
or grids, an adapter (`kd_tf.distillation.adapters`) makes them equal.

`mask` is a tensor (B, ...) of positions, false where one is padding: the loss
is then that of the other positions alone, and 0 for an example without any.
"""

from typing import Any

from keras import ops

from kd_tf.losses.activations import (
    check_same,
    comparable_activations,
    count_positions,
    flatten_grid,
    mean_over_positions,
)
from kd_tf.losses.grids import resize_without_padding, smaller_grid
from kd_tf.losses.normalization import LEAST_LENGTH, l2_length, l2_normalize
from kd_tf.ranges import Positive

Tensor = Any

# Gradients at channels shorter than this over the grid are those at channels
# this long, be they dead or of a layer that starts at zero.
_LEAST_CHANNEL = 0.1


def hint_loss(
    student: Tensor, teacher: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """Mean squared difference of the activations.

    Args:
        student: Float tensor (B, ..., C).
        teacher: Float tensor (B, ..., C).
        mask: Tensor (B, ...), false where a position is padding; or None.

    Returns:
        Float32 tensor (B,), averaged over positions and channels.

    Raises:
        ValueError: if the shapes differ.

    Reference:
        Romero et al., 2014, FitNets, https://arxiv.org/abs/1412.6550,
        section 2.2; averaged, not halved. Masked generation (Yang et al.,
        2022, https://arxiv.org/abs/2205.01529, section 3) is this loss
        behind an adapter that hides part of the student.
    """
    counts = count_positions(mask, student)
    student, teacher = comparable_activations(
        student, teacher, "width", "grid", mask=mask
    )
    return mean_over_positions(ops.square(student - teacher), counts)


def attention_transfer_loss(
    student: Tensor, teacher: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """Squared distance of where channels are active: energies over the grid.

    Args:
        student: Float tensor (B, ..., C of the student).
        teacher: Float tensor (B, ..., C of the teacher).
        mask: Tensor (B, ...), false where a position is padding; or None.

    Returns:
        Float32 tensor (B,) in [0, 2]: squared distance of the two maps, each
        of length 1.

    Raises:
        ValueError: if the grids differ.

    Reference:
        Zagoruyko and Komodakis, 2016, https://arxiv.org/abs/1612.03928,
        section 3.1, with p = 2; squared, as in the authors' code, for a
        gradient at 0.
    """
    student, teacher = comparable_activations(
        student, teacher, "grid", mask=mask
    )
    difference = _energies(student) - _energies(teacher)
    return ops.sum(ops.square(difference), axis=-1)


def fsp_loss(
    student: tuple[Tensor, Tensor],
    teacher: tuple[Tensor, Tensor],
    *,
    mask: Tensor | None = None,
) -> Tensor:
    """FSP: squared difference of the products of two layers' channels.

    Args:
        student: Two float tensors (B, ..., C) and (B, ..., D), from an
            earlier and a later layer. The larger grid is averaged down.
        teacher: The same of the teacher, with the same C and D.
        mask: Tensor (B, ...), false where a position is padding; or None.

    Returns:
        Float32 tensor (B,): mean squared difference of the C x D products,
        each averaged over the grid.

    Raises:
        ValueError: if the widths differ.

    Reference:
        Yim et al., 2017, "A gift from knowledge distillation", CVPR, section
        3.1; averaged over the products.
    """
    for one, other in zip(student, teacher, strict=True):
        check_same(one, other, "width")
    teacher = tuple(ops.stop_gradient(x) for x in teacher)
    difference = _flow(*student, mask) - _flow(*teacher, mask)
    return ops.mean(ops.square(difference), axis=(1, 2))


def channel_wise_loss(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: Positive = 4.0,
    mask: Tensor | None = None,
) -> Tensor:
    """CWD: divergence of each channel as a distribution over the grid.

    Args:
        student: Float tensor (B, ..., C).
        teacher: Float tensor (B, ..., C).
        temperature: Positive divisor of the activations.
        mask: Tensor (B, ...), false where a position is padding; or None.

    Returns:
        Float32 tensor (B,): divergence in nats, averaged over the channels,
        times temperature squared.

    Raises:
        ValueError: if the shapes differ.

    Reference:
        Shu et al., 2021, https://arxiv.org/abs/2011.13256, section 3.2.
    """
    counts = count_positions(mask, student)
    student, teacher = comparable_activations(
        student, teacher, "width", "grid", mask=mask
    )
    if counts is not None:
        # Far below any activation, yet finite: its probability is exactly 0.
        student, teacher = (x - 1e9 * (1 - counts) for x in (student, teacher))
    student = ops.log_softmax(student / temperature, axis=1)
    teacher = ops.log_softmax(teacher / temperature, axis=1)
    divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=1)
    return temperature**2 * ops.mean(divergence, axis=-1)


def neuron_selectivity_loss(
    student: Tensor, teacher: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """NST: discrepancy of the channels' patterns as two samples.

    The squared maximum mean discrepancy of the channels, each a pattern of
    length 1 over the grid, under the kernel k(x, y) = (x . y)^2.

    Args:
        student: Float tensor (B, ..., C of the student).
        teacher: Float tensor (B, ..., C of the teacher).
        mask: Tensor (B, ...), false where a position is padding; or None.

    Returns:
        Float32 tensor (B,), 0 or more.

    Raises:
        ValueError: if the grids differ.

    Reference:
        Huang and Wang, 2017, https://arxiv.org/abs/1707.01219, sections 3.2
        and 4.1.
    """
    student, teacher = comparable_activations(
        student, teacher, "grid", mask=mask
    )
    student = l2_normalize(student, axis=1)
    teacher = l2_normalize(teacher, axis=1)

    def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
        return ops.mean(ops.square(_products(a, b)), axis=(1, 2))

    return (
        mean_kernel(student, student)
        + mean_kernel(teacher, teacher)
        - 2 * mean_kernel(student, teacher)
    )


def variational_information_loss(
    student: Tensor,
    teacher: Tensor,
    raw_variance: Tensor,
    *,
    mask: Tensor | None = None,
) -> Tensor:
    """VID: negative log-likelihood of the teacher's activations.

    The student gives the mean of each activation, and each channel has a
    learned variance: channels that it cannot follow come to weigh less.

    Args:
        student: Float tensor (B, ..., C): the means.
        teacher: Float tensor (B, ..., C).
        raw_variance: Float tensor (C,); the variance is softplus of it.
        mask: Tensor (B, ...), false where a position is padding; or None.

    Returns:
        Float32 tensor (B,), in nats and without the constant, averaged over
        positions and channels. It may be negative.

    Raises:
        ValueError: if the shapes differ.

    Reference:
        Ahn et al., 2019, https://arxiv.org/abs/1904.05835, section 3.1. The
        network that makes the means is the adapter's.
    """
    counts = count_positions(mask, student)
    student, teacher = comparable_activations(
        student, teacher, "width", "grid", mask=mask
    )
    variance = ops.softplus(ops.cast(raw_variance, "float32")) + 1e-5
    doubled = ops.square(teacher - student) / variance + ops.log(variance)
    return 0.5 * mean_over_positions(doubled, counts)


def inter_channel_loss(
    student: Tensor, teacher: Tensor, *, mask: Tensor | None = None
) -> Tensor:
    """ICKD: squared difference of the products between a layer's channels.

    Args:
        student: Float tensor (B, ..., C).
        teacher: Float tensor (B, ..., C).
        mask: Tensor (B, ...), false where a position is padding; or None.

    Returns:
        Float32 tensor (B,) in [0, 4]: squared difference of the rows of the
        C x C products over the grid, each row of length 1, averaged over
        the C rows.

    Raises:
        ValueError: if the widths differ.

    Reference:
        Liu et al., 2021, https://arxiv.org/abs/2202.03680, section 3.2, with
        rows of length 1 as in the authors' code
        (https://github.com/ADLab-AutoDrive/ICKD, `distiller_zoo/ICKD.py`).
        There the student first goes through a 1x1 convolution without bias
        and a batch normalization, whatever the widths: the adapter's part.
    """
    student, teacher = comparable_activations(
        student, teacher, "width", mask=mask
    )
    difference = _correlations(student) - _correlations(teacher)
    return ops.mean(ops.sum(ops.square(difference), axis=-1), axis=-1)


def _energies(x: Tensor) -> Tensor:
    """Of the channels, (B, P), brought to length 1."""
    energies = ops.sum(ops.square(x), axis=-1)
    # Squares' slopes are as long as what is squared: relative to it.
    least_length = LEAST_LENGTH * l2_length(x, (1, 2))[..., 0]
    return l2_normalize(energies, least_length=least_length)


def _correlations(x: Tensor) -> Tensor:
    """Products of the channels, (B, C, C), each row brought to length 1."""
    # A row is as long as its channel times all the others.
    least_length = _LEAST_CHANNEL * l2_length(x, (1, 2))
    return l2_normalize(_products(x, x), least_length=least_length)


def _flow(early: Tensor, late: Tensor, mask: Tensor | None) -> Tensor:
    """Products of all channels of two layers, (B, C, D), averaged over P."""
    grid = smaller_grid(early, late)
    early = resize_without_padding(early, grid, mask)
    late = resize_without_padding(late, grid, mask)
    counts = count_positions(mask, early)
    early, late = flatten_grid(early), flatten_grid(late)
    if counts is None:
        num_positions = ops.cast(ops.shape(early)[1], "float32")
    else:
        num_positions = ops.maximum(ops.sum(counts, axis=1, keepdims=True), 1.0)
    return _products(early, late) / num_positions


def _products(a: Tensor, b: Tensor) -> Tensor:
    return ops.matmul(ops.transpose(a, (0, 2, 1)), b)
