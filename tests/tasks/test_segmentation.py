import math

import numpy as np
import pytest

from kd_tf.tasks import IGNORED, get_task
from tests.tasks.cases import fill_score

TASK = get_task("segmentation")
NAMES = ["road", "sky", "tree"]
RNG = np.random.default_rng(0)
MASKS = RNG.integers(0, 3, (6, 8, 8)).astype("int32")
MASKS[:, :2] = IGNORED


def test_scores_by_hand():
    targets = np.array([[[0, 0], [1, IGNORED]], [[1, 1], [0, 0]]])
    decided = np.array([[[0, 1], [1, 0]], [[1, 0], [0, 0]]])
    outputs = np.eye(3, dtype="float32")[decided] * 50
    score = fill_score("segmentation", 3, outputs, targets, batch_size=1)
    record = score.result()
    # Class 0: 3 both, 5 in either; class 1: 2 both, 4 in either; the third
    # class never occurs and is left out, as is the ignored pixel.
    assert record.per_class == {"IoU": [3 / 5, 2 / 4, None]}
    scores = record.scores
    assert scores["mean_iou"] == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert scores["mean_dice"] == pytest.approx((6 / 8 + 4 / 6) / 2)
    assert scores["pixel_accuracy"] == pytest.approx(5 / 7)
    # Recall 3 of 4, and 2 of 3; every decision has a probability of 1.
    assert scores["balanced_accuracy"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert scores["ece"] == pytest.approx(2 / 7)
    assert scores.keys() == {
        "pixel_accuracy",
        "balanced_accuracy",
        "ece",
        "mean_iou",
        "mean_dice",
    }
    confusion = [[3, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert score.arrays()["confusion"].tolist() == confusion


def test_loss_is_the_mean_over_the_pixels_that_count():
    targets = np.array([[[0, IGNORED]], [[IGNORED, IGNORED]]])
    outputs = np.zeros((2, 1, 2, 4), "float32")
    losses = TASK.new_score(4).update(outputs, targets)
    np.testing.assert_allclose(losses, [math.log(4), 0], rtol=1e-6)


def test_agreement_is_the_share_of_equal_pixels():
    agreement = TASK.new_agreement()
    first, second = np.eye(3)[[[[0, 1], [2, 0]]]], np.eye(3)[[[[0, 1], [2, 2]]]]
    agreement.update(first, second)
    assert agreement.result() == 3 / 4


def test_decisions_are_kept_as_bytes():
    kept = TASK.outputs_to_keep(np.eye(3)[MASKS % 3])
    assert kept.dtype == np.uint8
    np.testing.assert_array_equal(kept, MASKS % 3)


def test_images_are_shown_from_the_worst_to_the_best():
    losses = np.arange(100.0)
    shown = TASK.examples_to_show(losses, 12)
    assert shown[0] == 99
    assert shown[-1] == 0
    assert len(set(shown.tolist())) == 12
    # Even ranks: 99 / 11 = 9 between one and the next.
    assert set(-np.diff(shown)) == {9}
    assert TASK.examples_to_show(losses[:3], 12).tolist() == [2, 1, 0]


def test_descriptions_name_the_largest_classes():
    mask = np.array([[1, 1, 1, IGNORED], [1, 0, 1, 1], [0, 1, 1, IGNORED]])
    assert TASK.describe_target(mask, NAMES) == "sky 80 %, road 20 %"
    outputs = np.eye(3)[np.where(mask == IGNORED, 2, mask)]
    words = "sky 67 %, road 17 %, tree 17 %"
    assert TASK.describe_output(outputs, NAMES) == words
    ignored = np.full((2, 2), IGNORED)
    assert TASK.describe_target(ignored, NAMES) == "no label"
