"""Padding is left out: a padded sequence has the loss of the unpadded one."""

import functools
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation.loss_table import LOSSES, LossSpec
from kd_tf.losses.feature import (
    attention_transfer_loss,
    fsp_loss,
    hint_loss,
    inter_channel_loss,
)
from kd_tf.losses.masks import mask_on_grid, zero_padding
from kd_tf.losses.relation import rkd_distance_loss
from kd_tf.losses.response import dist_loss
from tests.losses.cases import normal, over, rows, value_and_gradient

MASKED = {
    name
    for name, spec in LOSSES.items()
    if "mask" in inspect.signature(spec.load()).parameters
}
BETWEEN_LAYERS = rows(knowledge=("feature",))
BETWEEN_EXAMPLES = rows(knowledge=("relation",))
EVERY = {**BETWEEN_LAYERS, **BETWEEN_EXAMPLES, **rows("dist")}
STUDENT, TEACHER = normal(0, (4, 6, 5)), normal(1, (4, 6, 5))
MASK = np.arange(6) < np.array([4, 2, 6, 3])[:, None]


def padded(x, by=np.nan):
    """With two further steps, and a mask that leaves them out."""
    return np.pad(x, ((0, 0), (0, 2), (0, 0)), constant_values=by)


LAST_TWO = np.tile(np.arange(8) < 6, (4, 1))


def test_every_loss_that_mixes_positions_takes_a_mask():
    assert set(EVERY) == MASKED
    assert "mask" in LossSpec.supplied
    assert not any("mask" in spec.arguments for spec in LOSSES.values())


def test_hint_loss_of_a_padded_sequence_by_hand():
    # ((1 - 0)^2 + (2 - 4)^2) / 2 = 2.5; what is padding would add 100.
    student = np.array([[[1], [2], [10]]], "f")
    teacher = np.array([[[0], [4], [0]]], "f")
    mask = np.array([[True, True, False]])
    np.testing.assert_allclose(hint_loss(student, teacher, mask=mask), [2.5])


@over(EVERY)
def test_padded_sequences_have_the_losses_of_the_unpadded(loss):
    expected = np.array(loss(STUDENT, TEACHER))
    value = loss(padded(STUDENT), padded(TEACHER), mask=LAST_TWO)
    is_per_step = value.ndim == 2
    np.testing.assert_allclose(
        value[:, :6] if is_per_step else value, expected, rtol=1e-4, atol=1e-5
    )
    if is_per_step:
        np.testing.assert_array_equal(value[:, 6:], 0)


@over({**BETWEEN_LAYERS})
def test_each_example_counts_its_own_steps(loss):
    value = loss(STUDENT, TEACHER, mask=MASK)
    for i, num_steps in enumerate(MASK.sum(axis=1)):
        alone = loss(
            STUDENT[i : i + 1, :num_steps], TEACHER[i : i + 1, :num_steps]
        )
        np.testing.assert_allclose(
            value[i : i + 1], alone, rtol=1e-4, atol=1e-6
        )


@over(EVERY)
def test_padding_gets_no_gradient_and_has_no_say(loss):
    garbage = np.where(MASK[..., None], STUDENT, 1e3).astype("f")
    value, gradient = value_and_gradient(loss, garbage, TEACHER, mask=MASK)
    expected, _ = value_and_gradient(loss, STUDENT, TEACHER, mask=MASK)
    assert value == pytest.approx(expected, rel=1e-6)
    np.testing.assert_array_equal(gradient[~MASK], 0)
    assert np.isfinite(gradient).all()


@over(EVERY)
def test_a_mask_that_leaves_nothing_out_changes_nothing(loss):
    np.testing.assert_allclose(
        loss(STUDENT, TEACHER, mask=np.ones((4, 6))),
        loss(STUDENT, TEACHER),
        rtol=1e-5,
        atol=1e-6,
    )


@over(EVERY)
def test_examples_without_any_step_are_finite(loss):
    mask = MASK & (np.arange(4) > 0)[:, None]
    value, gradient = value_and_gradient(loss, STUDENT, TEACHER, mask=mask)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    none = np.zeros((4, 6), bool)
    value, gradient = value_and_gradient(loss, STUDENT, TEACHER, mask=none)
    assert np.isfinite(value)
    np.testing.assert_array_equal(gradient, 0)


@over(BETWEEN_LAYERS)
def test_an_example_without_any_step_has_no_loss(loss):
    mask = MASK & (np.arange(4) > 0)[:, None]
    np.testing.assert_allclose(loss(STUDENT, TEACHER, mask=mask)[0], 0)


@over(EVERY)
def test_steps_of_unknown_number(loss):
    unknown = tf.TensorSpec((None, None, 5))
    traced = tf.function(
        lambda s, t, mask: loss(s, t, mask=mask),
        input_signature=[unknown, unknown, tf.TensorSpec((None, None), "bool")],
    )
    np.testing.assert_allclose(
        traced(STUDENT, TEACHER, MASK),
        loss(STUDENT, TEACHER, mask=MASK),
        rtol=1e-4,
        atol=1e-5,
    )


def test_mean_of_masked_outputs_is_one_minus_their_correlations():
    # As `LAST_TWO`, but through the mean that Keras takes.
    values = dist_loss(padded(STUDENT), padded(TEACHER), mask=LAST_TWO)
    mean = np.sum(values) / LAST_TWO.sum()
    assert mean == pytest.approx(np.mean(dist_loss(STUDENT, TEACHER)), rel=1e-5)


def test_mask_as_keras_makes_it_reaches_the_losses():
    tokens = np.array([[3, 1, 0], [2, 0, 0]])
    embedded = keras.layers.Embedding(4, 5, mask_zero=True)(tokens)
    teacher = normal(1, (2, 3, 5))
    value = attention_transfer_loss(
        embedded, teacher, mask=embedded._keras_mask
    )
    alone = attention_transfer_loss(embedded[:1, :2], teacher[:1, :2])
    np.testing.assert_allclose(value[:1], alone, rtol=1e-5)


def test_fsp_loss_averages_a_larger_padded_grid_over_what_counts():
    # Steps 1..4 of 6 count, then 1..2 of 3; pairs of steps are averaged.
    early, late = normal(0, (2, 6, 3)), normal(1, (2, 3, 4))
    student, teacher = (early, late), (early[::-1], late[::-1])
    mask = np.tile(np.arange(6) < 4, (2, 1))
    np.testing.assert_allclose(
        fsp_loss(student, teacher, mask=mask),
        fsp_loss(
            (early[:, :4], late[:, :2]), (early[::-1, :4], late[::-1, :2])
        ),
        rtol=1e-4,
    )


def test_fsp_loss_averages_no_padding_into_a_step_that_counts():
    # Of steps 1 and 2 only the second counts, with 3; 3 and 4 count, with 4.
    # (3 + 4) / 2 = 3.5, squared; the mean with padding would be over 50.
    early = np.array([[[100], [3], [2], [6]]], "f")
    late = np.ones((1, 2, 1), "f")
    zero = 0 * early, 0 * late
    loss = fsp_loss((early, late), zero, mask=np.array([[0, 1, 1, 1]]))
    np.testing.assert_allclose(loss, [3.5**2], rtol=1e-5)


def test_grids_of_student_and_teacher_may_differ():
    student, teacher = normal(0, (2, 6, 3)), normal(1, (2, 3, 3))
    mask = np.tile(np.arange(6) < 4, (2, 1))
    np.testing.assert_allclose(
        inter_channel_loss(student, teacher, mask=mask),
        inter_channel_loss(student[:, :4], teacher[:, :2]),
        rtol=1e-4,
    )


def test_relations_of_pooled_embeddings_need_no_mask():
    student, teacher = normal(0, (4, 6, 5)), normal(1, (4, 5))
    np.testing.assert_allclose(
        rkd_distance_loss(student, teacher, mask=MASK),
        rkd_distance_loss(student * MASK[..., None], teacher),
        rtol=1e-5,
    )


def test_mask_of_steps_covers_the_inner_axes():
    x = normal(0, (4, 6, 2, 5))
    mask = mask_on_grid(MASK, x)
    assert mask.shape == (4, 6, 2, 1)
    np.testing.assert_array_equal(mask[..., 1, 0], MASK)


@pytest.mark.parametrize(
    ("num_steps", "nearest"),
    [(3, [1, 1, 0]), (2, [1, 0]), (6, [1, 1, 1, 1, 0, 0])],
)
def test_nearest_step_counts_on_another_grid(num_steps, nearest):
    mask = np.array([[1, 1, 1, 1, 0, 0]])
    found = mask_on_grid(mask, np.zeros((1, num_steps, 5), "f"))
    np.testing.assert_array_equal(found[0, :, 0], nearest)


def test_padding_is_zero_whatever_it_held():
    x = tf.constant([[[1.0], [np.nan]]])
    zeroed = functools.partial(zero_padding, mask=np.array([[1, 0]]))
    _, gradient = value_and_gradient(
        lambda s, t: zeroed(s) + t, x, 0 * x[:, :1]
    )
    np.testing.assert_array_equal(zeroed(x)[0, :, 0], [1, 0])
    np.testing.assert_array_equal(gradient[0, :, 0], [0.5, 0])
    assert zero_padding(x, None) is x


def test_mask_with_more_axes_than_positions_is_refused():
    shapes = r"mask \(4, 6\), activations \(4, 5\)"
    with pytest.raises(ValueError, match="one value a position.*" + shapes):
        hint_loss(normal(0, (4, 5)), normal(1, (4, 5)), mask=MASK)
