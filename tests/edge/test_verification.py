import math

import numpy as np
import pytest

from kd_tf import Limit, evaluate_models
from kd_tf.edge.verification import examples_to_show


def test_judge_scores_all_in_one_pass():
    x = np.arange(10)
    y = x % 2
    read = []

    def batches():
        for i in range(0, 10, 4):
            read.append(i)
            yield x[i : i + 4], y[i : i + 4]

    models = {
        "right": lambda x: np.eye(2, dtype="float32")[x % 2],
        "stubborn": lambda x: np.eye(2, dtype="float32")[x * 0],
        "broken": lambda x: np.full((len(x), 2), np.nan, "float32"),
    }
    results, arrays, losses = evaluate_models(
        models, {"stubborn": "right"}, batches(), "classification", 2
    )
    assert read == [0, 4, 8]
    assert results["right"]["accuracy"] == 1
    assert results["stubborn"]["accuracy"] == 0.5
    assert results["stubborn"]["agreement"] == 0.5
    assert "agreement" not in results["right"]
    assert results["broken"]["not_finite"] == 20
    assert results["right"]["not_finite"] == 0
    assert arrays["stubborn"]["confusion"].tolist() == [[5, 0], [5, 0]]
    assert losses["right"].shape == (10,)


def test_shown_are_the_worst_answers_and_a_range_of_pictures():
    losses = np.arange(100.0)
    assert examples_to_show(losses, "classification").tolist() == list(
        range(99, 87, -1)
    )
    pictures = examples_to_show(losses, "segmentation")
    assert pictures[0] == 99
    assert pictures[-1] == 0
    assert len(set(pictures.tolist())) == 12
    assert examples_to_show(losses[:3], "segmentation").tolist() == [2, 1, 0]


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
    assert limit.met is kept
    assert str(limit).startswith(words)
