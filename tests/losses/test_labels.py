"""Outputs without a label: the ignored class 255, -1, and NaN of quantities."""

import functools
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation.loss_table import LOSSES
from kd_tf.losses.labels import has_label, labelled_only, one_hot_labels
from kd_tf.losses.response import decoupled_loss, weighted_soft_label_loss
from kd_tf.losses.values import teacher_bounded_loss
from tests.losses.cases import normal, over, value_and_gradient

OF_CLASSES = {
    "decoupled": decoupled_loss,
    "weighted_soft_labels": weighted_soft_label_loss,
}
STUDENT, TEACHER = 3 * normal(0, (2, 3, 4)), 3 * normal(1, (2, 3, 4))
CLASSES = np.array([[0, 255, 3], [1, 2, 255]])
IS_LABELLED = CLASSES < 255
VALUES = np.where(IS_LABELLED[..., None], 10 * normal(2, (2, 3, 4)), np.nan)
LABELLED = {
    **{
        name: functools.partial(loss, labels=CLASSES)
        for name, loss in OF_CLASSES.items()
    },
    "teacher_bounded": functools.partial(teacher_bounded_loss, labels=VALUES),
}


def test_battery_holds_every_loss_that_takes_labels():
    assert set(LABELLED) == {
        name
        for name, spec in LOSSES.items()
        if "labels" in inspect.signature(spec.load()).parameters
    }


@over(LABELLED)
def test_outputs_without_a_label_have_no_loss_and_no_gradient(loss):
    value = np.array(loss(STUDENT, TEACHER))
    _, gradient = value_and_gradient(loss, STUDENT, TEACHER)
    np.testing.assert_array_equal(value[~IS_LABELLED], 0)
    np.testing.assert_array_equal(gradient[~IS_LABELLED], 0)
    assert (value[IS_LABELLED] > 0).all()
    assert np.isfinite(gradient).all()


@over(LABELLED)
def test_the_others_have_the_losses_they_have_alone(loss):
    labels = loss.keywords["labels"][IS_LABELLED]
    alone = loss.func(STUDENT[IS_LABELLED], TEACHER[IS_LABELLED], labels=labels)
    np.testing.assert_allclose(
        np.array(loss(STUDENT, TEACHER))[IS_LABELLED], alone, rtol=1e-5
    )


class Mean(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return y_true


@over(LABELLED)
@pytest.mark.parametrize("in_graph", [False, True])
def test_keras_averages_over_what_has_a_label(loss, in_graph):
    def mean():
        return Mean()(loss(STUDENT, TEACHER), tf.zeros((2, 3)))

    value = np.array(loss(STUDENT, TEACHER))
    expected = value.sum() / IS_LABELLED.sum()
    mean = tf.function(mean) if in_graph else mean
    assert mean().numpy() == pytest.approx(expected, rel=1e-5)


@over(OF_CLASSES)
@pytest.mark.parametrize(
    "labels",
    [
        np.where(IS_LABELLED, CLASSES, -1),
        np.where(IS_LABELLED, CLASSES, 4),
        CLASSES.astype("uint8"),
        CLASSES.astype("f"),
        CLASSES[..., None],
        np.eye(256, dtype="f")[CLASSES][..., :4],
    ],
    ids=["-1", "C", "uint8", "float", "column", "one-hot"],
)
def test_no_label_in_every_form_that_labels_take(loss, labels):
    np.testing.assert_allclose(
        loss(STUDENT, TEACHER, labels=labels),
        loss(STUDENT, TEACHER, labels=CLASSES),
        rtol=1e-5,
    )


@over(LABELLED)
def test_a_batch_without_labels_is_zero(loss):
    none = np.full_like(loss.keywords["labels"], -1, dtype="f")
    if loss.func is teacher_bounded_loss:
        none = np.full_like(none, np.inf)
    unlabelled = functools.partial(loss.func, labels=none)
    value, gradient = value_and_gradient(unlabelled, STUDENT, TEACHER)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_one_unknown_quantity_leaves_the_output_out():
    labels = np.array([[1.0, np.nan], [-1.0, 255.0]], "f")
    loss = teacher_bounded_loss(
        np.array([[9, 9], [0, 250]], "f"),
        np.array([[1, 1], [-1, 255]], "f"),
        labels=labels,
    )
    # -1 and 255 are quantities as any other: (1 + 25) / 2 = 13.
    np.testing.assert_allclose(loss, [0, 13])


def test_one_hot_labels_are_zero_where_there_is_none():
    one_hot = one_hot_labels(np.array([1, 255, -1]), np.zeros((3, 2), "f"))
    np.testing.assert_array_equal(one_hot, [[0, 1], [0, 0], [0, 0]])
    np.testing.assert_array_equal(has_label(one_hot), [True, False, False])


def test_values_without_label_are_zero_though_they_were_nan():
    values = tf.constant([1.0, np.nan])
    kept = labelled_only(values, tf.constant([True, False]))
    np.testing.assert_array_equal(kept, [1, 0])
