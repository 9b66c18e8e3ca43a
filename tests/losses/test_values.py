"""Sums by hand; the battery of test_response.py runs over these losses, too."""

import numpy as np
import pytest

from kd_tf.losses.values import teacher_bounded_loss, value_matching_loss


@pytest.mark.parametrize(
    ("margin", "by_hand"), [(0.0, [2.5, 0, 0]), (0.3, [2.5, 0.25, 0])]
)
def test_teacher_bounded_loss_counts_only_who_is_behind(margin, by_hand):
    # Errors: (1 + 4) / 2 = 2.5 against 0.5; 0.25 against 0.5; 0 against 0.5.
    labels = np.array([[1, 2], [0, 0], [0, 0]], "f")
    student = np.array([[2, 4], [0.5, 0.5], [0, 0]], "f")
    teacher = np.array([[1, 3], [1, 0], [0, 1]], "f")
    loss = teacher_bounded_loss(student, teacher, labels=labels, margin=margin)
    np.testing.assert_allclose(loss, by_hand, rtol=1e-6)


def test_teacher_bounded_loss_takes_one_value_an_example():
    student, teacher = np.array([[3.0], [1.0]]), np.array([[1.0], [2.0]])
    loss = teacher_bounded_loss(student, teacher, labels=np.array([1.0, 1.0]))
    np.testing.assert_allclose(loss, [4, 0])


def test_value_matching_loss_is_the_mean_square_by_hand():
    student = np.array([[1.0, 2.0], [0.0, 0.0]])
    teacher = np.array([[2.0, 4.0], [0.0, 3.0]])
    loss = value_matching_loss(student, teacher)
    np.testing.assert_allclose(loss, [(1 + 4) / 2, 9 / 2])
