import numpy as np
import pytest
import tensorflow as tf

from kd_tf.losses.grids import resize_grid


def activations(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("f")


RESIZES = {
    "shrink": ((4, 6), (2, 3)),
    "shrink unevenly": ((7, 5), (3, 2)),
    "grow": ((3, 4), (6, 7)),
    "shrink one, grow the other": ((8, 2), (4, 4)),
    "line": ((9,), (4,)),
}
battery = pytest.mark.parametrize(("old", "new"), RESIZES.values(), ids=RESIZES)


def slopes(x, grid):
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(resize_grid(x, grid))
    return tape.gradient(value, x)


@pytest.mark.parametrize("grid", [(), (4,), (4, 6)])
def test_equal_grids_are_left_alone(grid):
    x = activations(2, *grid, 3)
    np.testing.assert_array_equal(resize_grid(x, grid), x)


def test_shrinking_by_whole_numbers_averages_blocks():
    x = np.arange(24, dtype="f").reshape(1, 4, 6, 1)
    # The first block of 2 x 3 holds 0, 1, 2, 6, 7 and 8: 24 / 6 = 4.
    by_hand = [[4, 7], [16, 19]]
    np.testing.assert_allclose(resize_grid(x, (2, 2))[0, ..., 0], by_hand)


def test_shrinking_a_line_averages_blocks():
    # (0 + 1 + 4) / 3 and (9 + 16 + 25) / 3.
    x = np.arange(6, dtype="f").reshape(1, 6, 1) ** 2
    np.testing.assert_allclose(
        resize_grid(x, (2,))[0, :, 0], [5 / 3, 50 / 3], rtol=1e-6
    )


@pytest.mark.parametrize("axis", [1, 2])
def test_ramp_grows_into_a_ramp(axis):
    # The centres of the new positions lie at (i + 0.5) / 2 - 0.5.
    ramp = np.arange(4, dtype="f")
    x = np.moveaxis(np.broadcast_to(ramp, (1, 3, 2, 4)), -1, axis)
    grid = [8 if i == axis else x.shape[i] for i in (1, 2)]
    grown = np.moveaxis(resize_grid(x, grid), axis, -1)
    inside = (np.arange(1, 7) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(
        grown[..., 1:-1], np.broadcast_to(inside, (1, 3, 2, 6)), rtol=1e-6
    )


def test_ramp_on_a_line_grows_into_a_ramp():
    grown = resize_grid(np.arange(4, dtype="f").reshape(1, 4, 1), (8,))
    inside = (np.arange(1, 7) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(grown[0, 1:-1, 0], inside, rtol=1e-6)


@battery
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_grid_is_new_and_all_else_is_kept(old, new, dtype):
    resized = resize_grid(activations(2, *old, 3).astype(dtype), new)
    assert resized.shape == (2, *new, 3)
    assert resized.dtype == dtype


@battery
def test_channels_and_examples_are_resized_each_on_its_own(old, new):
    x = activations(2, *old, 3)
    np.testing.assert_allclose(
        resize_grid(x, new)[1:, ..., 2:],
        resize_grid(x[1:, ..., 2:], new),
        rtol=1e-5,
        atol=1e-6,
    )


@battery
def test_constant_stays_constant(old, new):
    x = np.full((1, *old, 2), 5, "f")
    np.testing.assert_allclose(resize_grid(x, new), 5, rtol=1e-6)


@pytest.mark.parametrize("new", range(1, 12))
def test_every_position_counts(new):
    assert np.min(slopes(activations(1, 11, 1), (new,))) > 0


@pytest.mark.parametrize(
    ("shape", "grid"),
    [
        ((2, 4, 6, 3), (4,)),
        ((2, 4, 3), (4, 1)),
        ((2, 3), (1,)),
        ((2, 4, 4, 4, 3), (2, 2, 2)),
    ],
)
def test_grids_of_other_numbers_of_axes_are_refused(shape, grid):
    received = f"activation {shape} for a grid of {len(grid)} axes"
    with pytest.raises(ValueError, match="one or two") as raised:
        resize_grid(activations(*shape), grid)
    assert received in str(raised.value)


@pytest.mark.parametrize("new", [(2, 3), (8, 12), (4, 6)])
def test_unknown_sizes_take_the_grid_of_another_activation(new):
    unknown = tf.TensorSpec((None, None, None, 3))

    @tf.function(input_signature=[unknown, unknown])
    def onto(x, other):
        shape = tf.shape(other)
        return resize_grid(x, (shape[1], shape[2]))

    x = activations(2, 4, 6, 3)
    np.testing.assert_allclose(
        onto(x, activations(2, *new, 3)),
        resize_grid(x, new),
        rtol=1e-5,
        atol=1e-6,
    )


def test_unknown_length_of_a_line():
    unknown = tf.TensorSpec((None, None, 3))

    @tf.function(input_signature=[unknown, unknown])
    def onto(x, other):
        return resize_grid(x, (tf.shape(other)[1],))

    x = activations(2, 4, 3)
    np.testing.assert_allclose(
        onto(x, activations(2, 8, 3)), resize_grid(x, (8,)), rtol=1e-5
    )


@pytest.mark.parametrize("fixed", ["activation", "grid"])
def test_one_fixed_and_one_unknown_size(fixed):
    x = activations(2, 3, 4, 3)
    shape = (2, 3, 4, 3) if fixed == "activation" else (None, None, None, 3)

    @tf.function(
        input_signature=[tf.TensorSpec(shape), tf.TensorSpec((), "int32")]
    )
    def grown(x, length):
        return resize_grid(x, (6, 8) if fixed == "grid" else (length, 8))

    np.testing.assert_allclose(
        grown(x, 6), resize_grid(x, (6, 8)), rtol=1e-5, atol=1e-6
    )


@battery
def test_compiles_with_its_gradient(old, new):
    x = activations(2, *old, 3)
    compiled = tf.function(slopes, jit_compile=True)
    np.testing.assert_allclose(compiled(x, new), slopes(x, new), rtol=1e-4)


@battery
def test_compiled_values_are_the_same(old, new):
    x = activations(2, *old, 3)
    compiled = tf.function(resize_grid, jit_compile=True)
    np.testing.assert_allclose(
        compiled(x, new), resize_grid(x, new), rtol=1e-4, atol=1e-6
    )
