import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation import loss_table
from kd_tf.losses.feature import (
    attention_transfer_loss,
    channel_wise_loss,
    fsp_loss,
    hint_loss,
    inter_channel_loss,
    neuron_selectivity_loss,
    variational_information_loss,
)


def with_variances(loss):
    def vid(student, teacher):
        raw_variance = np.linspace(-1, 2, student.shape[-1], dtype="f")
        return loss(student, teacher, raw_variance)

    return vid


def with_a_later_layer(loss):
    return lambda student, teacher: loss(
        (student, student[..., :2]), (teacher, teacher[..., :2])
    )


def of_two_tensors(spec):
    """The loss of a row, with what it takes besides or instead."""
    loss = spec.load()
    if "raw_variance" in inspect.signature(loss).parameters:
        return with_variances(loss)
    return with_a_later_layer(loss) if spec.num_layers == 2 else loss


def rows(*equal):
    return {
        name: of_two_tensors(spec)
        for name, spec in loss_table.LOSSES.items()
        if spec.knowledge == "feature" and spec.equal == equal
    }


def fsp_over_unequal_grids(student, teacher):
    return fsp_loss(
        (student, student[:, :2, :2, :3]), (teacher, teacher[:, :2, :2, :3])
    )


OF_EQUAL_WIDTHS_AND_GRIDS = {
    **rows("width", "grid"),
    "CWD, T=1": functools.partial(channel_wise_loss, temperature=1.0),
}
OF_EQUAL_GRIDS = rows("grid")
OF_EQUAL_WIDTHS = rows("width")
OF_ANY_NUMBER_OF_AXES = {
    **OF_EQUAL_WIDTHS_AND_GRIDS,
    **OF_EQUAL_GRIDS,
    **OF_EQUAL_WIDTHS,
}
LOSSES = {
    **OF_ANY_NUMBER_OF_AXES,
    "FSP, unequal grids": fsp_over_unequal_grids,
}
VID = "variational_information"


def test_battery_holds_every_loss_between_layers():
    names = [
        name
        for name, spec in loss_table.LOSSES.items()
        if spec.knowledge == "feature"
    ]
    assert set(names) <= set(LOSSES)


def test_losses_whose_papers_always_project_the_student():
    shape = (None, 4, 4, 3)
    projected = {
        name
        for name, spec in loss_table.LOSSES.items()
        if spec.takes_pairs
        and spec.load_adapter()(shape, shape, equal=()).count_params() >= 9
    }
    always = {"variational_information", "inter_channel"}
    # Masked generation has two convolutions at any width.
    assert projected == {*always, "masked_generation"}


def over(table):
    return pytest.mark.parametrize("loss", table.values(), ids=table)


battery = over(LOSSES)


def activations(seed, shape=(5, 3, 4, 6)):
    return np.random.default_rng(seed).normal(size=shape).astype("f")


EXTREME = 1e4 * np.sign(activations(2))
HARD = {
    "opposite extremes": (-EXTREME, EXTREME),
    "equal extremes": (EXTREME, EXTREME),
    "extreme student": (EXTREME, np.zeros_like(EXTREME)),
    "extreme teacher": (np.zeros_like(EXTREME), EXTREME),
    "equal": (activations(1), activations(1)),
    "constant": (np.full_like(EXTREME, 3), np.full_like(EXTREME, -7)),
    "zero": (np.zeros_like(EXTREME), np.zeros_like(EXTREME)),
}
hard = pytest.mark.parametrize("pair", HARD.values(), ids=HARD)


def gradients(loss, *inputs):
    inputs = [tf.constant(x) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = tf.reduce_sum(loss(*inputs))
    return tape.gradient(value, inputs)


def flat(x):
    """(B, P, C) of (B, ..., C), in float64."""
    return x.reshape(len(x), -1, x.shape[-1]).astype("float64")


def by_example(formula, student, teacher):
    return [
        formula(s, t) for s, t in zip(flat(student), flat(teacher), strict=True)
    ]


def length_one(x):
    return x / np.sqrt(np.sum(x**2))


def test_hint_loss_matches_the_sum_done_by_hand():
    # (1^2 + 2^2 + 0 + 3^2) / 4 = 3.5.
    student = np.array([[[1, 2], [3, 4]]], "f")
    teacher = np.array([[[0, 4], [3, 1]]], "f")
    np.testing.assert_allclose(hint_loss(student, teacher), [3.5])


def test_attention_transfer_loss_matches_the_sum_done_by_hand():
    # Energies (3, 4) and (0, 2), of length 1 (0.6, 0.8) and (0, 1);
    # 0.36 + 0.04 = 0.4.
    student = np.sqrt(np.array([[[1, 2], [4, 0]]], "f"))
    teacher = np.sqrt(np.array([[[0, 0, 0], [1, 1, 0]]], "f"))
    loss = attention_transfer_loss(student, teacher)
    np.testing.assert_allclose(loss, [0.4], rtol=1e-5)


def test_fsp_loss_matches_the_sum_done_by_hand():
    # Products over two positions, halved: student (1 1 + 3 2) / 2 = 3.5 and
    # (2 1 + 4 2) / 2 = 5; teacher (1 1 + 1 0) / 2 = 0.5 and 0.
    # (3^2 + 5^2) / 2 = 17.
    student = np.array([[[1, 2], [3, 4]]], "f"), np.array([[[1], [2]]], "f")
    teacher = np.array([[[1, 0], [1, 0]]], "f"), np.array([[[1], [0]]], "f")
    np.testing.assert_allclose(fsp_loss(student, teacher), [17])


@pytest.mark.parametrize("larger_is", ["earlier", "later"])
def test_fsp_loss_averages_the_larger_grid_down(larger_is):
    def halved(x):
        return x.reshape(2, 2, 2, 3, 2, 3).mean((2, 4))

    def flow(large, small):
        layers = map(flat, ordered(large, small))
        return np.einsum("bpc,bpd->bcd", *layers) / 6

    def layers(seed):
        large = activations(seed, (2, 4, 6, 3))
        return large, activations(seed + 1, (2, 2, 3, 5))

    def ordered(large, small):
        return (large, small) if larger_is == "earlier" else (small, large)

    student, teacher = layers(0), layers(2)
    difference = flow(halved(student[0]), student[1]) - flow(
        halved(teacher[0]), teacher[1]
    )
    np.testing.assert_allclose(
        fsp_loss(ordered(*student), ordered(*teacher)),
        np.mean(difference**2, axis=(1, 2)),
        rtol=1e-4,
    )


def test_fsp_loss_takes_a_teacher_on_another_grid():
    student = activations(0, (2, 2, 2, 3)), activations(1, (2, 2, 2, 5))
    teacher = tuple(np.repeat(x, 2, axis=1) for x in student)
    np.testing.assert_allclose(fsp_loss(student, teacher), 0, atol=1e-6)


def test_channel_wise_loss_matches_the_paper_channel_by_channel():
    def formula(student, teacher):
        total = 0
        for channel in range(6):
            p = np.exp(teacher[:, channel] / 2)
            q = np.exp(student[:, channel] / 2)
            p, q = p / p.sum(), q / q.sum()
            total += np.sum(p * np.log(p / q))
        return 4 * total / 6

    student, teacher = activations(0), activations(1)
    np.testing.assert_allclose(
        channel_wise_loss(student, teacher, temperature=2.0),
        by_example(formula, student, teacher),
        rtol=1e-4,
    )


def test_neuron_selectivity_loss_matches_the_loops_of_the_paper():
    def mean_kernel(a, b):
        return np.mean(
            [[(length_one(x) @ length_one(y)) ** 2 for y in b.T] for x in a.T]
        )

    def formula(student, teacher):
        return (
            mean_kernel(student, student)
            + mean_kernel(teacher, teacher)
            - 2 * mean_kernel(student, teacher)
        )

    student, teacher = activations(0), activations(1, (5, 3, 4, 2))
    np.testing.assert_allclose(
        neuron_selectivity_loss(student, teacher),
        by_example(formula, student, teacher),
        rtol=1e-4,
    )


def test_variational_information_loss_is_a_gaussian_log_likelihood():
    variance = np.array([0.5, 2.0])
    student, teacher = activations(0, (3, 4, 2)), activations(1, (3, 4, 2))
    density = np.exp(-((teacher - student) ** 2) / (2 * variance)) / np.sqrt(
        2 * np.pi * variance
    )
    constant = 0.5 * np.log(2 * np.pi)
    expected = -np.mean(np.log(density), axis=(1, 2)) - constant
    raw_variance = np.log(np.expm1(variance))
    np.testing.assert_allclose(
        variational_information_loss(student, teacher, raw_variance),
        expected,
        rtol=1e-3,
    )


def test_variance_is_learned_toward_the_squared_error():
    # At a squared error of 4 the best variance is 4: softplus(3.98) = 4.
    student, teacher = np.zeros((1, 1, 1), "f"), np.full((1, 1, 1), 2.0, "f")

    def slope(raw_variance):
        return gradients(
            lambda raw: variational_information_loss(student, teacher, raw),
            np.array([raw_variance], "f"),
        )[0].numpy()[0]

    assert slope(1.0) < -1e-3
    assert slope(np.log(np.expm1(4.0))) == pytest.approx(0, abs=1e-5)
    assert slope(8.0) > 1e-3


def test_inter_channel_loss_matches_the_sum_done_by_hand():
    # Products over two positions: student [[5, 5], [5, 5]], whose rows are
    # (1, 1) / sqrt(2); teacher [[9, 0], [0, 4]], whose rows are unit vectors.
    # Each row is 2 - 2 / sqrt(2) apart, squared.
    student = np.array([[[1, 1], [2, 2]]], "f")
    teacher = np.array([[[3, 0], [0, 2]]], "f")
    np.testing.assert_allclose(
        inter_channel_loss(student, teacher), [2 - np.sqrt(2)], rtol=1e-5
    )


def test_inter_channel_loss_normalizes_rows_as_the_authors_do():
    def rows_of_length_one(x):
        return np.array([length_one(row) for row in x.T @ x])

    def formula(student, teacher):
        apart = rows_of_length_one(student) - rows_of_length_one(teacher)
        return np.sum(apart**2) / 6

    student, teacher = activations(0), activations(1, (5, 2, 7, 6))
    student[..., 0] *= 5  # a strong channel tells rows from cosines
    np.testing.assert_allclose(
        inter_channel_loss(student, teacher),
        by_example(formula, student, teacher),
        rtol=1e-4,
    )


@battery
def test_one_value_an_example(loss):
    assert loss(activations(0), activations(1)).shape == (5,)


@over(OF_ANY_NUMBER_OF_AXES)
@pytest.mark.parametrize("grid", [(12,), (2, 6)])
def test_axes_of_the_grid_do_not_matter(loss, grid):
    shape = (5, *grid, 6)
    np.testing.assert_allclose(
        loss(activations(0).reshape(shape), activations(1).reshape(shape)),
        loss(activations(0), activations(1)),
        rtol=1e-5,
    )


@over(OF_ANY_NUMBER_OF_AXES)
def test_activations_without_a_grid_give_one_finite_value(loss):
    value = loss(activations(0, (5, 6)), activations(1, (5, 6)))
    assert value.shape == (5,)
    assert np.isfinite(value).all()


@battery
def test_float16_in_float32_out(loss):
    student = activations(0).astype("float16")
    teacher = activations(1).astype("float16")
    value = loss(student, teacher)
    assert value.dtype == "float32"
    np.testing.assert_allclose(
        value, loss(student.astype("f"), teacher.astype("f")), rtol=1e-2
    )


@over({name: LOSSES[name] for name in LOSSES if name != VID})
def test_nothing_when_student_equals_teacher(loss):
    np.testing.assert_allclose(
        loss(activations(1), activations(1)), 0, atol=1e-5
    )
    assert np.all(np.array(loss(activations(0), activations(1))) > 1e-3)


def test_variational_information_loss_is_less_at_the_teacher():
    at_teacher = LOSSES[VID](activations(1), activations(1))
    assert np.mean(at_teacher) < np.mean(
        LOSSES[VID](activations(0), activations(1))
    )


@hard
@battery
def test_finite_value_and_gradient_at_hard_activations(loss, pair):
    assert np.isfinite(loss(*pair)).all()
    assert np.isfinite(gradients(loss, *pair)[0]).all()


@pytest.mark.parametrize("raw", [-1e4, 1e4])
def test_finite_value_and_gradients_at_extreme_variances(raw):
    inputs = activations(0), activations(1), np.full(6, raw, "f")
    assert np.isfinite(variational_information_loss(*inputs)).all()
    to_student, _, to_variance = gradients(
        variational_information_loss, *inputs
    )
    assert np.isfinite(to_student).all()
    assert np.isfinite(to_variance).all()


@battery
def test_gradient_to_the_student_and_none_to_the_teacher(loss):
    to_student, to_teacher = gradients(loss, activations(0), activations(1))
    assert np.abs(to_student).max() > 1e-4
    assert to_teacher is None


@battery
def test_permuting_the_batch_permutes_the_losses(loss):
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(
        loss(activations(0)[order], activations(1)[order]),
        np.array(loss(activations(0), activations(1)))[order],
        rtol=1e-5,
    )


@battery
def test_batch_and_grid_of_unknown_size(loss):
    unknown = tf.TensorSpec((None, None, None, 6))
    traced = tf.function(loss, input_signature=[unknown, unknown])
    student, teacher = activations(0), activations(1)
    np.testing.assert_allclose(
        traced(student, teacher), loss(student, teacher), rtol=1e-4
    )


@over({**OF_EQUAL_WIDTHS_AND_GRIDS, **OF_EQUAL_WIDTHS})
def test_unequal_widths_are_refused(loss):
    shapes = r"student \(5, 3, 4, 1\), teacher \(5, 3, 4, 6\)"
    with pytest.raises(ValueError, match="same width.*" + shapes):
        loss(activations(0, (5, 3, 4, 1)), activations(1))


@over({**OF_EQUAL_WIDTHS_AND_GRIDS, **OF_EQUAL_GRIDS})
def test_unequal_grids_are_refused_though_they_hold_as_many_positions(loss):
    shapes = r"student \(5, 4, 3, 6\), teacher \(5, 3, 4, 6\)"
    with pytest.raises(ValueError, match="same grid.*" + shapes):
        loss(activations(0, (5, 4, 3, 6)), activations(1))


@over(OF_EQUAL_GRIDS)
def test_widths_may_differ(loss):
    assert loss(activations(0, (5, 3, 4, 2)), activations(1)).shape == (5,)


@over(OF_EQUAL_WIDTHS)
def test_grids_may_differ(loss):
    assert loss(activations(0, (5, 2, 7, 6)), activations(1)).shape == (5,)
