import numpy as np
import pytest
import tensorflow as tf

from kd_tf.losses.normalization import damp_gradient, l2_length, l2_normalize


def gradient(function, x, upstream):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x, tf.constant(upstream)).numpy()


@pytest.mark.parametrize("axis", [-1, 0, (0, 1)])
def test_length_along_the_axes_is_one(axis):
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("f")
    by_hand = x / np.sqrt(np.sum(x**2, axis=axis, keepdims=True))
    np.testing.assert_allclose(l2_normalize(x, axis), by_hand, rtol=1e-6)


def test_zero_stays_zero_and_gets_the_gradient_of_the_least_length():
    x, upstream = np.zeros((1, 2), "f"), np.array([[3, -4]], "f")
    np.testing.assert_array_equal(l2_normalize(tf.constant(x)), x)
    np.testing.assert_allclose(
        gradient(l2_normalize, x, upstream), [[300, -400]], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("size", "slope"), [(5.0, 0.2), (0.05, 20.0), (5e-3, 100.0), (5e-5, 100.0)]
)
def test_slope_is_one_over_the_length_up_to_one_over_the_least(size, slope):
    # At (3, 4) / 5 the unit vector turns along (4, -3) / 5, and no other way.
    x = size * np.array([[0.6, 0.8]], "f")
    np.testing.assert_allclose(
        l2_normalize(tf.constant(x)), [[0.6, 0.8]], rtol=1e-5
    )
    np.testing.assert_allclose(
        gradient(l2_normalize, x, np.array([[1, 0]], "f")),
        slope * np.array([[0.64, -0.48]]),
        rtol=1e-4,
    )


def test_least_length_may_be_one_for_each_vector():
    x, upstream = np.zeros((2, 1), "f"), np.ones((2, 1), "f")
    least_length = np.array([[0.5], [0.25]], "f")
    np.testing.assert_allclose(
        gradient(
            lambda x: l2_normalize(x, least_length=least_length), x, upstream
        ),
        [[2], [4]],
        rtol=1e-5,
    )


def test_length_is_kept_as_an_axis_and_never_zero():
    x = np.array([[3, 4], [0, 0]], "f")
    np.testing.assert_allclose(l2_length(x, -1), [[5], [1e-6]], rtol=1e-6)
    np.testing.assert_allclose(l2_length(x), [[5]], rtol=1e-6)


def test_damped_gradient_leaves_values_alone_and_never_grows():
    x, ones = np.array([1.0, 2.0], "f"), np.ones(2, "f")
    factor = np.array([0.5, 3.0], "f")
    np.testing.assert_array_equal(damp_gradient(tf.constant(x), factor), x)
    np.testing.assert_array_equal(
        gradient(lambda x: damp_gradient(x, factor), x, ones), [0.5, 1]
    )
