"""Losses between inner activations of a student and of its teacher.

Shapes: B examples, C channels, along the last axis; "..." stands for the grid
between them, such as height and width, and P for the number of its positions.
Every loss returns one value an example, float32 (B,); the caller weighs and
averages. No gradient flows into the teacher. Where a loss needs equal widths
or grids, an adapter (`kd_tf.distillation.adapters`) makes them equal.
"""

from typing import Any, Literal

from keras import ops

from kd_tf.losses.grids import resize_grid
from kd_tf.losses.normalization import l2_normalize
from kd_tf.ranges import Positive

Tensor = Any


def hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the activations.

    Args:
        student: Float tensor (B, ..., C).
        teacher: Float tensor (B, ..., C).

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
    student, teacher = _features(student, teacher, "width", "grid")
    return ops.mean(ops.square(student - teacher), axis=(1, 2))


def attention_transfer_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of where channels are active: energies over the grid.

    Args:
        student: Float tensor (B, ..., C of the student).
        teacher: Float tensor (B, ..., C of the teacher).

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
    student, teacher = _features(student, teacher, "grid")
    student = l2_normalize(ops.sum(ops.square(student), axis=-1))
    teacher = l2_normalize(ops.sum(ops.square(teacher), axis=-1))
    return ops.sum(ops.square(student - teacher), axis=-1)


def fsp_loss(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor]
) -> Tensor:
    """FSP: squared difference of the products of two layers' channels.

    Args:
        student: Two float tensors (B, ..., C) and (B, ..., D), from an
            earlier and a later layer. The larger grid is averaged down.
        teacher: The same of the teacher, with the same C and D.

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
        _check_same(one, other, "width")
    teacher = tuple(ops.stop_gradient(x) for x in teacher)
    difference = _flow(*student) - _flow(*teacher)
    return ops.mean(ops.square(difference), axis=(1, 2))


def channel_wise_loss(
    student: Tensor, teacher: Tensor, *, temperature: Positive = 4.0
) -> Tensor:
    """CWD: divergence of each channel as a distribution over the grid.

    Args:
        student: Float tensor (B, ..., C).
        teacher: Float tensor (B, ..., C).
        temperature: Positive divisor of the activations.

    Returns:
        Float32 tensor (B,): divergence in nats, averaged over the channels,
        times temperature squared.

    Raises:
        ValueError: if the shapes differ.

    Reference:
        Shu et al., 2021, https://arxiv.org/abs/2011.13256, section 3.2.
    """
    student, teacher = _features(student, teacher, "width", "grid")
    student = ops.log_softmax(student / temperature, axis=1)
    teacher = ops.log_softmax(teacher / temperature, axis=1)
    divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=1)
    return temperature**2 * ops.mean(divergence, axis=-1)


def neuron_selectivity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """NST: discrepancy of the channels' patterns as two samples.

    The squared maximum mean discrepancy of the channels, each a pattern of
    length 1 over the grid, under the kernel k(x, y) = (x . y)^2.

    Args:
        student: Float tensor (B, ..., C of the student).
        teacher: Float tensor (B, ..., C of the teacher).

    Returns:
        Float32 tensor (B,), 0 or more.

    Raises:
        ValueError: if the grids differ.

    Reference:
        Huang and Wang, 2017, https://arxiv.org/abs/1707.01219, sections 3.2
        and 4.1.
    """
    student, teacher = _features(student, teacher, "grid")
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
    student: Tensor, teacher: Tensor, raw_variance: Tensor
) -> Tensor:
    """VID: negative log-likelihood of the teacher's activations.

    The student gives the mean of each activation, and each channel has a
    learned variance: channels that it cannot follow come to weigh less.

    Args:
        student: Float tensor (B, ..., C): the means.
        teacher: Float tensor (B, ..., C).
        raw_variance: Float tensor (C,); the variance is softplus of it.

    Returns:
        Float32 tensor (B,), in nats and without the constant, averaged over
        positions and channels. It may be negative.

    Raises:
        ValueError: if the shapes differ.

    Reference:
        Ahn et al., 2019, https://arxiv.org/abs/1904.05835, section 3.1.
    """
    student, teacher = _features(student, teacher, "width", "grid")
    variance = ops.softplus(ops.cast(raw_variance, "float32")) + 1e-5
    doubled = ops.square(teacher - student) / variance + ops.log(variance)
    return 0.5 * ops.mean(doubled, axis=(1, 2))


def inter_channel_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """ICKD: squared difference of the cosines between a layer's channels.

    Args:
        student: Float tensor (B, ..., C).
        teacher: Float tensor (B, ..., C).

    Returns:
        Float32 tensor (B,) in [0, 4]: mean squared difference of the C x C
        cosines.

    Raises:
        ValueError: if the widths differ.

    Reference:
        Liu et al., 2021, https://arxiv.org/abs/2202.03680, section 3.2, with
        the channels brought to length 1 as in the authors' code.
    """
    student, teacher = _features(student, teacher, "width")
    student = l2_normalize(student, axis=1)
    teacher = l2_normalize(teacher, axis=1)
    difference = _products(student, student) - _products(teacher, teacher)
    return ops.mean(ops.square(difference), axis=(1, 2))


def _features(
    student: Tensor, teacher: Tensor, *same: Literal["width", "grid"]
) -> tuple[Tensor, Tensor]:
    """Both as float32 (B, P, C), the teacher without gradient."""
    for what in same:
        _check_same(student, teacher, what)
    return _positions(student), ops.stop_gradient(_positions(teacher))


def _check_same(
    student: Tensor, teacher: Tensor, what: Literal["width", "grid"]
) -> None:
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


def _positions(x: Tensor) -> Tensor:
    x = ops.cast(x, "float32")
    return ops.reshape(x, (ops.shape(x)[0], -1, x.shape[-1]))


def _flow(early: Tensor, late: Tensor) -> Tensor:
    """Products of all channels of two layers, (B, C, D), averaged over P."""
    grids = zip(ops.shape(early)[1:-1], ops.shape(late)[1:-1], strict=True)
    grid = [_smaller(*lengths) for lengths in grids]
    early = _positions(resize_grid(early, grid))
    late = _positions(resize_grid(late, grid))
    return _products(early, late) / ops.cast(ops.shape(early)[1], "float32")


def _smaller(one: Any, other: Any) -> Any:
    if isinstance(one, int) and isinstance(other, int):
        return min(one, other)
    return ops.minimum(one, other)


def _products(a: Tensor, b: Tensor) -> Tensor:
    return ops.matmul(ops.transpose(a, (0, 2, 1)), b)
