"""Gradients of every loss where a student starts, or collapses."""

import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation.loss_table import LOSSES
from kd_tf.losses.response import soft_target_loss, standardize_logits
from tests.losses.cases import normal, over, rows, value_and_gradient

SHAPE = (8, 3, 5)
STUDENT, TEACHER = normal(0, SHAPE), normal(1, SHAPE)
FIRST_HALF = (np.arange(8) < 4)[:, None, None]
ODD_EXAMPLES = (np.arange(8) % 2)[:, None, None]
ALIKE = np.repeat(STUDENT[:1], 8, axis=0)
DEGENERATE = {
    "zero head": 0 * STUDENT,
    "half zero": STUDENT * FIRST_HALF,
    "collapsed": ALIKE,
    "collapsed but for rounding": ALIKE + 1e-6 * STUDENT,
    "opposite": ALIKE * (1 - 2 * ODD_EXAMPLES),
    "constant logits": np.full(SHAPE, 3.0),
    "dead channels": STUDENT * (np.arange(5) < 2),
    "tiny": 1e-3 * STUDENT,
    "tiniest": 1e-6 * STUDENT,
}


def standardized(student, teacher):
    return soft_target_loss(
        standardize_logits(student), standardize_logits(teacher)
    )


EVERY = {**rows(), "standardized": standardized}
# They look at the order or at relations alone, which zero has not.
SCALE_FREE = ("dist", "contrastive", "standardized")


def test_battery_holds_every_loss():
    assert set(LOSSES) < set(EVERY)


@over(EVERY)
@pytest.mark.parametrize("student", DEGENERATE.values(), ids=DEGENERATE)
def test_gradient_is_of_ordinary_size(loss, student):
    value, gradient = value_and_gradient(loss, student.astype("f"), TEACHER)
    assert np.isfinite(value)
    assert np.linalg.norm(gradient) <= 1e2


@over({name: EVERY[name] for name in SCALE_FREE})
def test_a_head_at_zero_learns(loss):
    _, gradient = value_and_gradient(loss, 0 * STUDENT, TEACHER)
    assert np.linalg.norm(gradient) > 1e-2


@over(EVERY)
def test_four_steps_from_a_zero_initialised_head_keep_the_loss_bounded(loss):
    features, kernel = normal(2, (8, 3, 6)), tf.Variable(tf.zeros((6, 5)))
    teacher = tf.constant(features @ normal(3, (6, 5)))
    labels = tf.argmax(teacher, axis=-1)
    label_losses, totals = [], []
    for _ in range(5):
        with tf.GradientTape() as tape:
            student = tf.constant(features) @ kernel
            label_loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, student)
            )
            total = label_loss + tf.reduce_mean(loss(student, teacher))
        label_losses.append(label_loss.numpy())
        totals.append(total.numpy())
        kernel.assign_sub(0.1 * tape.gradient(total, kernel))
    assert np.isfinite(totals).all()
    assert label_losses[-1] < label_losses[0]
    assert max(totals) < 2 * totals[0]


@over(rows("dist", "rkd_angle", "similarity_preserving", "inter_channel"))
def test_gradient_at_ordinary_inputs_is_the_slope(loss):
    # Along a line through the student, by central differences.
    direction = normal(4, SHAPE)
    _, gradient = value_and_gradient(loss, STUDENT, TEACHER)
    ahead, _ = value_and_gradient(loss, STUDENT + 1e-2 * direction, TEACHER)
    behind, _ = value_and_gradient(loss, STUDENT - 1e-2 * direction, TEACHER)
    slope = (ahead - behind) / 2e-2
    assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-2)
