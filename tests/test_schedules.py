import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf.schedules import cosine, linear, value_at

# Eight steps from 6 to 2. A quarter of a turn is half the cosine's way; an
# eighth leaves (1 + cos 45 degrees) / 2 of it.
EIGHTH = 2 + 4 * (1 + np.sqrt(0.5)) / 2
SHAPES = {"linear": linear, "cosine": cosine}
battery = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@pytest.mark.parametrize(
    ("shape", "step", "by_hand"),
    [
        (linear, 0, 6),
        (linear, 2, 5),
        (linear, 4, 4),
        (linear, 8, 2),
        (linear, 800, 2),
        (cosine, 0, 6),
        (cosine, 2, EIGHTH),
        (cosine, 4, 4),
        (cosine, 8, 2),
        (cosine, 800, 2),
    ],
)
def test_values_are_those_by_hand(shape, step, by_hand):
    value = value_at(shape(6, 2, num_steps=8), step)
    assert float(value) == pytest.approx(by_hand, rel=1e-6)


@battery
def test_goes_up_as_well_as_down(shape):
    schedule = shape(0.0, 1.0, num_steps=10)
    values = [float(value_at(schedule, step)) for step in range(11)]
    assert np.all(np.diff(values) > 0)
    assert values[0] == 0
    assert values[-1] == pytest.approx(1)


@battery
def test_follows_a_counting_variable_in_a_graph(shape):
    schedule, step = shape(6, 2, num_steps=8), tf.Variable(0, dtype="int64")

    @tf.function
    def now():
        return value_at(schedule, step)

    assert float(now()) == 6
    step.assign(4)
    assert float(now()) == pytest.approx(4)
    assert now().dtype == tf.float32


@battery
@pytest.mark.parametrize("num_steps", [0, -3, float("nan")])
def test_bad_number_of_steps_is_refused(shape, num_steps):
    with pytest.raises(ValueError, match="greater than 0") as raised:
        shape(1, 0, num_steps=num_steps)
    assert f"num_steps={num_steps}" in str(raised.value)


def test_numbers_stay_as_they_are():
    assert value_at(0.25, tf.constant(7)) == 0.25


def test_any_function_of_the_step_is_a_schedule():
    found = value_at(lambda step: 3 * step, tf.constant(7, "int64"))
    assert found.dtype == tf.float32
    assert float(found) == 21
    assert float(value_at(lambda step: 5, 0)) == 5


def test_learning_rate_schedules_of_keras_are_schedules():
    # Halves every ten steps.
    halving = keras.optimizers.schedules.ExponentialDecay(8.0, 10, 0.5)
    assert float(value_at(halving, tf.constant(20, "int64"))) == 2
    steps = keras.optimizers.schedules.PiecewiseConstantDecay([5], [1.0, 0.5])
    assert float(value_at(steps, tf.constant(5, "int64"))) == 1
    assert float(value_at(steps, tf.constant(6, "int64"))) == 0.5
