import numpy as np

from kd_tf.reporting.looks import look
from kd_tf.reporting.series import Series
from kd_tf.reporting.values import value_pictures


def test_value_has_its_mean_error():
    arrays = {
        "targets": np.array([[0.0, 1.0], [2.0, 1.0]]),
        "outputs": np.array([[1.0, 1.0], [0.0, 1.0]]),
    }
    series = [Series("a file", look(0), arrays)]
    first, second = value_pictures(series, ["height", "width"])
    assert first.alt == (
        "Predictions against truth, height; mean error: a file 1.5."
    )
    assert second.alt.endswith("width; mean error: a file 0.")


def test_of_many_values_the_first_twelve_are_drawn():
    arrays = {"targets": np.ones((2, 14)), "outputs": np.ones((2, 14))}
    series = [Series("a file", look(0), arrays)]
    names = [str(number) for number in range(14)]
    assert len(value_pictures(series, names)) == 12
