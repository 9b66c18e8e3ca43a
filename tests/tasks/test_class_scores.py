import numpy as np
import pytest

from kd_tf.tasks.class_scores import (
    ClassCounts,
    count_class_numbers,
    cross_entropies,
)


def test_class_numbers_are_counted_in_any_shape():
    counts = count_class_numbers(np.array([[0, 2], [2, 2]]), 4)
    assert counts.tolist() == [1, 0, 3, 0]
    assert count_class_numbers(np.array([], int), 2).tolist() == [0, 0]


def test_class_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"from 0 to 1\. Received: 0 to 2"):
        count_class_numbers(np.array([0, 2]), 2)


def test_cross_entropies_by_hand():
    probabilities = np.array([[0.5, 0.5], [0.2, 0.8], [1.0, 0.0]])
    losses = cross_entropies(
        probabilities, np.array([0, 9, 1]), np.array([True, False, True])
    )
    # The second is not counted; the third is kept finite.
    np.testing.assert_allclose(losses, [np.log(2), 0, np.log(1e12)])


def test_counts_by_hand():
    counts = ClassCounts(2)
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    counts.update(probabilities[:2], np.array([0, 1]))
    counts.update(probabilities[2:], np.array([1]))
    assert counts.confusion.tolist() == [[1, 0], [1, 1]]
    assert counts.accuracy() == 2 / 3
    assert counts.balanced_accuracy() == (1 + 1 / 2) / 2
    # Gaps 0.1, 0.6 and 0.3, each in a bin of its own.
    assert counts.calibration_error() == pytest.approx(1 / 3)
    assert counts.average_precision().tolist() == [1, 1]
    assert {"confusion", "calibration_count", "precision", "recall"} <= (
        counts.arrays().keys()
    )
