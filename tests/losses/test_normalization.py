import numpy as np
import pytest
import tensorflow as tf

from kd_tf.losses.normalization import l2_normalize


@pytest.mark.parametrize("axis", [-1, 0, (0, 1)])
def test_length_along_the_axes_is_one(axis):
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("f")
    by_hand = x / np.sqrt(np.sum(x**2, axis=axis, keepdims=True))
    np.testing.assert_allclose(l2_normalize(x, axis), by_hand, rtol=1e-6)


def test_zero_stays_zero_with_a_finite_gradient():
    x = tf.zeros((2, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = l2_normalize(x)
    np.testing.assert_array_equal(y, np.zeros((2, 3)))
    assert np.isfinite(tape.gradient(y, x)).all()
