import numpy as np
import pytest
from sklearn import metrics

from kd_tf.tasks.curves import (
    Calibration,
    Curves,
    average_precision,
    load_arrays,
    save_arrays,
)
from kd_tf.tasks.probabilities import sigmoid, softmax
from tests.tasks.cases import RNG, fill_score


def test_calibration_by_hand():
    calibration = Calibration()
    # Two in the bin of 0.8, one of them correct; a certain one in the last.
    calibration.update(np.array([0.81, 0.83, 1.0]), np.array([1, 0, 1], bool))
    assert calibration.error() == pytest.approx((1.64 - 1) / 3)
    arrays = calibration.arrays()
    assert arrays["calibration_count"][[12, 14]].tolist() == [2, 1]
    assert arrays["calibration_count"].sum() == 3
    assert arrays["calibration_confidence"][12] == pytest.approx(0.82)
    assert arrays["calibration_accuracy"][[12, 14]].tolist() == [0.5, 1]


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_curves_against_the_counts_at_one_threshold(task):
    targets = (RNG.random((300, 3)) < 0.4).astype(int)
    outputs = RNG.normal(size=(300, 3)) + 2 * targets
    if task == "classification":
        targets = targets.argmax(-1)
        probabilities = softmax(outputs)
        is_positive = targets[:, None] == range(3)
    else:
        probabilities, is_positive = sigmoid(outputs), targets.astype(bool)
    arrays = fill_score(task, 3, outputs, targets).arrays()
    assert arrays["precision"].shape == (4, 1001)
    for c in range(3):
        # At a threshold of 0.5, the 500th from below, bin for bin.
        flags = probabilities[:, c] >= 0.5
        hits = (flags & is_positive[:, c]).sum()
        precision, recall = hits / flags.sum(), hits / is_positive[:, c].sum()
        assert arrays["precision"][c, 500] == pytest.approx(precision)
        assert arrays["recall"][c, 500] == pytest.approx(recall)
    micro = (probabilities >= 0.5)[is_positive].sum() / is_positive.sum()
    assert arrays["recall"][3, 500] == pytest.approx(micro)


def test_average_precision_by_hand():
    # Found at the 1st, 3rd and 4th threshold; none reaches the zeroth.
    precision = np.array([[np.nan, 1, 1 / 2, 2 / 3, 3 / 4]])
    recall = np.array([[0, 1 / 3, 1 / 3, 2 / 3, 1]])
    area = average_precision(precision, recall)
    np.testing.assert_allclose(area, [(1 + 2 / 3 + 3 / 4) / 3])


def test_average_precision_is_scikit_learns():
    # Probabilities that no bin holds twice.
    probabilities = RNG.permutation(1000)[:80].reshape(40, 2) / 1000 + 0.0005
    is_positive = RNG.random((40, 2)) < 0.4
    curves = Curves(2)
    curves.update(probabilities, is_positive)
    areas = average_precision(**curves.arrays())
    for c in range(2):
        expected = metrics.average_precision_score(
            is_positive[:, c], probabilities[:, c]
        )
        assert areas[c] == pytest.approx(expected)
    expected = metrics.average_precision_score(
        is_positive.ravel(), probabilities.ravel()
    )
    assert areas[2] == pytest.approx(expected)


def test_average_precision_of_a_class_that_never_occurs_is_nan():
    curves = Curves(2)
    curves.update(np.array([[0.9, 0.1]]), np.array([[True, False]]))
    areas = average_precision(**curves.arrays())
    assert np.isnan(areas).tolist() == [False, True, False]


def test_arrays_are_read_as_they_were_written(tmp_path):
    arrays = {"int8": {"a": np.arange(3)}, "teacher": {"a": np.eye(2)}}
    save_arrays(tmp_path / "a.npz", arrays)
    read = load_arrays(tmp_path / "a.npz")
    assert read.keys() == arrays.keys()
    np.testing.assert_array_equal(read["int8"]["a"], np.arange(3))
    np.testing.assert_array_equal(read["teacher"]["a"], np.eye(2))
