import math

import numpy as np
import pytest

from kd_tf import Limit, accuracy, agreement

LOGITS = np.array([[1, 0], [0, 1], [3, 2], [0, 9]], "f")


def test_accuracy_is_the_share_of_right_answers():
    assert accuracy(LOGITS, np.array([0, 1, 1, 1])) == 0.75


def test_agreement_is_the_share_of_like_answers():
    other = np.array([[9, 8], [1, 0], [0, 1], [0, 1]], "f")
    assert agreement(LOGITS, other) == 0.5


@pytest.mark.parametrize(
    ("allowed", "measured", "kept", "words"),
    [
        (20, 9.93, True, "size: 9.93 of 20"),
        (20, 20, True, "size: 20 of 20"),
        (20, 23.5, False, "size missed: allowed 20, measured 23.5, 3.5 too"),
        (20, math.nan, False, "size missed: allowed 20, measured nan"),
    ],
)
def test_limits(allowed, measured, kept, words):
    limit = Limit("size", allowed, measured)
    assert limit.kept is kept
    assert str(limit).startswith(words)
