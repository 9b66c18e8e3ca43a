import numpy as np
import pytest

from kd_tf.distillation.totals import accuracies, add_figures, entropies


def counts(teacher, by_class, several=0):
    return {
        "teacher": teacher,
        "student": 1,
        "several classes": several,
        "of class": np.array(by_class),
    }


def test_figures_of_batches_are_added_where_both_have_them():
    one = [{"a": 1, "b": {"c": np.array([1, 2]), "d": 1}}]
    other = [{"a": 2, "b": {"c": np.array([3, 4])}}]
    [total] = add_figures(one, other)
    assert total["a"] == 3
    assert list(total["b"]) == ["c"]
    np.testing.assert_array_equal(total["b"]["c"], [4, 6])


def test_accuracies_are_means_over_outputs():
    outputs = {"a": counts(3, [1, 3]), "b": counts(1, [2, 0])}
    accuracy, majority_share, num_labels = accuracies(outputs)
    # 3 of 4 and 1 of 2; 1 of 4 and 1 of 2; 3 of 4 and 2 of 2.
    assert accuracy == {"teacher": 0.625, "student": 0.375}
    assert (majority_share, num_labels) == (0.875, 6)


@pytest.mark.parametrize(
    "outputs",
    [{None: {}}, {None: counts(0, [0, 0])}, {None: counts(1, [1], 1)}],
)
def test_labels_that_are_no_classes_have_no_accuracy(outputs):
    assert accuracies(outputs) == ({}, None, 0)


def test_entropies_are_means_over_outputs_with_positions():
    of_outputs = {
        "a": {"sum": 1.0, "count": 4},
        "b": {"sum": 1.0, "count": 2},
        "c": {"sum": 0.0, "count": 0},
    }
    losses = {"soft": of_outputs, "none": {"c": of_outputs["c"]}}
    assert entropies(losses) == {"soft": 0.375}
