import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation.weighted_mean import weighted_mean

VALUES = np.arange(6, dtype="f").reshape(2, 3)


@pytest.mark.parametrize(
    ("weights", "by_hand"),
    [
        (None, 15 / 6),
        # (0 + 1 + 2) 1 + (3 + 4 + 5) 3, over six values.
        ([1, 3], 39 / 6),
        ([[1, 0, 0], [0, 0, 2]], 10 / 6),
        # Each example has the mean of its weights: 1/3 and 2/3 of a value.
        ([[[1, 0, 0]] * 3, [[0, 0, 2]] * 3], (3 / 3 + 12 * 2 / 3) / 6),
    ],
)
def test_mean_is_that_by_hand(weights, by_hand):
    values = tf.constant(VALUES)
    assert float(weighted_mean(values, weights)) == pytest.approx(by_hand)


def test_a_scalar_is_returned_as_it_is():
    assert float(weighted_mean(tf.constant(7.0), np.array([0, 3]))) == 7


def test_mask_of_the_output_leaves_values_out():
    output = tf.zeros((2, 3, 5))
    output._keras_mask = tf.constant(
        [[True, True, False], [True, False, False]]
    )
    mean = weighted_mean(tf.constant(VALUES), None, masked_by=output)
    assert float(mean) == pytest.approx((0 + 1 + 3) / 3)
