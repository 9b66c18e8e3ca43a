import math

import keras
import numpy as np
import pytest
from sklearn import metrics

from kd_tf.tasks import get_task
from tests.tasks.cases import RNG, fill_score

TASK = get_task("regression")


def test_scores_by_hand():
    targets = np.array([[0.0, 1.0], [2.0, 1.0]])
    outputs = np.array([[0.0, 2.0], [1.0, 1.0]])
    score = TASK.new_score(2)
    assert score.update(outputs, targets).tolist() == [1 / 2, 1 / 2]
    record = score.result()
    # Errors 0 and 1 against a spread of 1 and 1; the second never changes.
    assert record.scores == {"r2": 1 - 1 / 2, "mae": 1 / 2}
    assert record.per_class == {"mean absolute error": [1 / 2, 1 / 2]}
    arrays = score.arrays()
    np.testing.assert_array_equal(arrays["outputs"], outputs)
    np.testing.assert_array_equal(arrays["targets"], targets)


def test_scores_against_scikit_learn():
    targets = RNG.normal(size=(60, 2)) * [1, 100]
    outputs = targets + RNG.normal(size=(60, 2))
    record = fill_score("regression", 2, outputs, targets).result()
    assert record.scores["r2"] == pytest.approx(
        metrics.r2_score(targets, outputs)
    )
    assert record.scores["mae"] == pytest.approx(
        metrics.mean_absolute_error(targets, outputs)
    )
    assert record.per_class["mean absolute error"] == pytest.approx(
        metrics.mean_absolute_error(
            targets, outputs, multioutput="raw_values"
        ).tolist()
    )


def test_r2_of_one_example_is_none():
    record = fill_score("regression", 1, np.ones((1, 1)), np.zeros((1, 1)))
    assert record.result().scores == {"r2": None, "mae": 1}


def test_label_loss_is_the_mean_squared_error():
    for mixed in (False, True):
        loss = TASK.label_loss(mixed=mixed)
        assert isinstance(loss, keras.losses.MeanSquaredError)
        assert float(loss(np.zeros((1, 2)), np.array([[1.0, 3.0]]))) == 5


def test_agreement_is_r2():
    agreement = TASK.new_agreement()
    agreement.update(np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]]))
    assert agreement.result() == 1
    # Error 1 against a spread of 0.5, both of three values.
    agreement = TASK.new_agreement()
    agreement.update(np.array([[1.0], [1.0]]), np.array([[1.0], [2.0]]))
    assert agreement.result() == 1 - 1 / 0.5


def test_agreement_with_values_that_never_change_is_nan():
    agreement = TASK.new_agreement()
    agreement.update(np.array([[1.0], [2.0]]), np.array([[1.0], [1.0]]))
    assert math.isnan(agreement.result())


def test_descriptions_list_the_first_values():
    values = np.array([1.0, -0.12345, 1e6, 3.0, 4.0])
    assert TASK.describe_target(values, []) == "1, -0.1235, 1e+06, 3"
    assert TASK.describe_output(values[:1], []) == "1"
