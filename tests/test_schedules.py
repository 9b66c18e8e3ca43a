import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf.results import ScheduleRecord, from_json, to_json
from kd_tf.schedules import Ramp, cosine, linear, record_schedule, value_at

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
def test_invalid_number_of_steps_is_refused(shape, num_steps):
    with pytest.raises(ValueError, match="greater than 0") as raised:
        shape(1, 0, num_steps=num_steps)
    assert f"num_steps={num_steps}" in str(raised.value)


def test_numbers_stay_as_they_are():
    assert value_at(0.25, tf.constant(7)) == 0.25


def test_any_function_of_the_step_is_a_schedule():
    value = value_at(lambda step: 3 * step, tf.constant(7, "int64"))
    assert value.dtype == tf.float32
    assert float(value) == 21
    assert float(value_at(lambda step: 5, 0)) == 5


def test_learning_rate_schedules_of_keras_are_schedules():
    # Halves every ten steps.
    halving = keras.optimizers.schedules.ExponentialDecay(8.0, 10, 0.5)
    assert float(value_at(halving, tf.constant(20, "int64"))) == 2
    steps = keras.optimizers.schedules.PiecewiseConstantDecay([5], [1.0, 0.5])
    assert float(value_at(steps, tf.constant(5, "int64"))) == 1
    assert float(value_at(steps, tf.constant(6, "int64"))) == 0.5


def test_shapes_are_ramps():
    assert linear(6, 2, 8) == Ramp(6, 2, 8)
    assert cosine(6, 2, 8) == Ramp(6, 2, 8, "cosine")


def test_unknown_shape_is_refused():
    with pytest.raises(ValueError, match="'linear' or 'cosine'") as raised:
        Ramp(1, 0, 10, "cubic")
    assert "Received: shape='cubic'" in str(raised.value)


@pytest.mark.parametrize(
    ("ramp", "description"),
    [
        (linear(6, 2, num_steps=8), "6 to 2 in 8 steps, linear"),
        (cosine(0.1, 1, num_steps=1500.0), "0.1 to 1 in 1500 steps, cosine"),
    ],
)
def test_ramp_describes_itself(ramp, description):
    assert str(ramp) == description


def test_record_of_a_ramp_is_that_by_hand():
    # 400 steps in 8 epochs of 50; the ramp ends after a quarter of them.
    record = record_schedule(
        linear(6, 2, num_steps=100), num_steps=400, steps_per_epoch=50
    )
    assert record.description == "6 to 2 in 100 steps, linear"
    assert len(record.epochs) == len(record.values) == 101
    np.testing.assert_allclose(record.epochs, np.linspace(0, 8, 101))
    by_hand = np.maximum(6 - 4 * np.arange(101) / 25, 2)
    np.testing.assert_allclose(record.values, by_hand, rtol=1e-6)


def test_record_of_any_schedule_names_it_and_its_ends():
    halving = keras.optimizers.schedules.ExponentialDecay(8.0, 10, 0.5)
    record = record_schedule(halving, num_steps=20, steps_per_epoch=10)
    assert record.description == "ExponentialDecay, 8 to 2"
    assert record.epochs[-1] == 2
    assert record.values[50] == pytest.approx(4)  # after ten steps


def test_record_reads_back_from_json():
    ramp = cosine(1.0, 0.0, num_steps=10)
    record = record_schedule(ramp, num_steps=10, steps_per_epoch=5)
    assert from_json(ScheduleRecord, to_json(record)) == record
