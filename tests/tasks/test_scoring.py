import json
import math

import numpy as np
import pytest
from sklearn import metrics

from kd_tf.tasks import IGNORED, TASKS, sigmoid, softmax
from kd_tf.tasks.scoring import (
    Agreement,
    load_arrays,
    new_score,
    save_arrays,
)

RNG = np.random.default_rng(0)


def fed(task, num_classes, answers, targets, chunk=7):
    score = new_score(task, num_classes)
    for i in range(0, len(answers), chunk):
        score.update(answers[i : i + chunk], targets[i : i + chunk])
    return score


def test_classification_by_hand():
    answers = np.log([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]])
    score = new_score("classification", 2)
    losses = score.update(answers, np.array([0, 1, 1, 0]))
    # Right but for the second; each loss is -log of the label's share.
    np.testing.assert_allclose(losses, -np.log([0.7, 0.4, 0.8, 0.9]), rtol=1e-5)
    found = score.result()
    assert found["accuracy"] == 0.75
    assert found["balanced_accuracy"] == (1 + 0.5) / 2
    # Four bins of one each: gaps 0.3, 0.6, 0.2 and 0.1.
    assert found["ece"] == pytest.approx(1.2 / 4, abs=1e-6)
    assert "top_5_accuracy" not in found
    assert score.arrays()["confusion"].tolist() == [[2, 0], [1, 1]]


def test_classification_against_scikit_learn():
    answers = RNG.normal(size=(200, 8)).astype("float32")
    labels = RNG.integers(0, 8, 200)
    found = fed("classification", 8, answers, labels)
    result = found.result()
    decided = answers.argmax(-1)
    assert result["accuracy"] == metrics.accuracy_score(labels, decided)
    assert result["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(labels, decided)
    )
    assert result["top_5_accuracy"] == pytest.approx(
        metrics.top_k_accuracy_score(labels, answers, k=5)
    )
    np.testing.assert_array_equal(
        found.arrays()["confusion"], metrics.confusion_matrix(labels, decided)
    )


def test_segmentation_by_hand():
    truth = np.array([[[0, 0], [1, IGNORED]], [[1, 1], [0, 0]]])
    decided = np.array([[[0, 1], [1, 0]], [[1, 0], [0, 0]]])
    answers = np.eye(3, dtype="float32")[decided] * 50
    found = fed("segmentation", 3, answers, truth, chunk=1).result()
    # Class 0: 3 both, 5 in either; class 1: 2 both, 4 in either; the third
    # class never occurs and is left out, as is the ignored pixel.
    assert found["iou_per_class"] == [3 / 5, 2 / 4, None]
    assert found["mean_iou"] == pytest.approx((3 / 5 + 2 / 4) / 2)
    assert found["mean_dice"] == pytest.approx((6 / 8 + 4 / 6) / 2)
    assert found["pixel_accuracy"] == pytest.approx(5 / 7)
    assert json.loads(json.dumps(found)) == found


def test_segmentation_loss_is_over_the_pixels_that_count():
    truth = np.array([[[0, IGNORED]], [[IGNORED, IGNORED]]])
    answers = np.zeros((2, 1, 2, 4), "float32")
    losses = new_score("segmentation", 4).update(answers, truth)
    np.testing.assert_allclose(losses, [math.log(4), 0], rtol=1e-6)


def test_multilabel_against_scikit_learn():
    answers = RNG.normal(size=(150, 5)).astype("float32")
    targets = (RNG.random((150, 5)) < 0.3).astype("uint8")
    targets[:, 4] = 0  # a class that never occurs is left out
    found = fed("multilabel", 5, answers, targets).result()
    by_class = [
        metrics.average_precision_score(targets[:, c], answers[:, c])
        for c in range(4)
    ]
    assert found["mean_average_precision"] == pytest.approx(np.mean(by_class))
    assert found["average_precision_per_class"][4] is None
    assert found["accuracy"] == pytest.approx(((answers > 0) == targets).mean())


def test_regression_against_scikit_learn():
    targets = RNG.normal(size=(60, 2)) * [1, 100]
    answers = targets + RNG.normal(size=(60, 2))
    found = fed("regression", 2, answers, targets).result()
    assert found["r2"] == pytest.approx(metrics.r2_score(targets, answers))
    assert found["mae"] == pytest.approx(
        metrics.mean_absolute_error(targets, answers)
    )


@pytest.mark.parametrize("task", ["classification", "multilabel"])
def test_curves_against_scikit_learn(task):
    targets = (RNG.random((300, 3)) < 0.4).astype(int)
    answers = RNG.normal(size=(300, 3)) + 2 * targets
    if task == "classification":
        targets = targets.argmax(-1)
        probabilities = softmax(answers)
        yes = targets[:, None] == range(3)
    else:
        probabilities, yes = sigmoid(answers), targets.astype(bool)
    arrays = fed(task, 3, answers, targets).arrays()
    assert arrays["precision"].shape == (4, 1001)
    for c in range(3):
        # At a threshold of 0.5, the 500th from below, bin for bin.
        said = probabilities[:, c] >= 0.5
        precision = (said & yes[:, c]).sum() / said.sum()
        recall = (said & yes[:, c]).sum() / yes[:, c].sum()
        assert arrays["precision"][c, 500] == pytest.approx(precision)
        assert arrays["recall"][c, 500] == pytest.approx(recall)
    micro = (probabilities >= 0.5)[yes].sum() / yes.sum()
    assert arrays["recall"][3, 500] == pytest.approx(micro)


def test_scores_do_not_depend_on_the_chunks():
    for task, answers, targets in (
        ("classification", RNG.normal(size=(50, 3)), RNG.integers(0, 3, 50)),
        (
            "segmentation",
            RNG.normal(size=(10, 4, 4, 3)),
            RNG.integers(0, 3, (10, 4, 4)),
        ),
        ("multilabel", RNG.normal(size=(50, 3)), RNG.integers(0, 2, (50, 3))),
        ("regression", RNG.normal(size=(50, 3)), RNG.normal(size=(50, 3))),
    ):
        one, many = (
            fed(task, 3, answers, targets, chunk).result() for chunk in (50, 3)
        )
        for name, value in one.items():
            assert value == pytest.approx(many[name])
        assert TASKS[task].score in one


def test_agreement_by_hand():
    classes = Agreement("classification")
    classes.update(np.array([[1, 0], [0, 1]]), np.array([[2, 1], [1, 0]]))
    assert classes.result() == 0.5
    labels = Agreement("multilabel")
    labels.update(np.array([[1.0, -1.0]]), np.array([[3.0, 2.0]]))
    assert labels.result() == 0.5
    values = Agreement("regression")
    values.update(np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]]))
    assert values.result() == 1


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        ("classification", [0, 3]),
        ("classification", [-1, 0]),
        ("segmentation", [[0, 3], [1, 2]]),
        ("multilabel", [[0, 2, 1]]),
        ("regression", [[0.0, np.nan, 1.0]]),
    ],
)
def test_targets_that_are_none_are_refused(task, targets):
    with pytest.raises(ValueError, match="Allowed: .*Received: "):
        TASKS[task].count(np.array(targets), 3)


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {"int8": {"a": np.arange(3)}, "teacher": {"a": np.eye(2)}}
    save_arrays(tmp_path / "a.npz", arrays)
    found = load_arrays(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    np.testing.assert_array_equal(found["teacher"]["a"], np.eye(2))


def test_probabilities_of_huge_logits_are_finite():
    huge = np.array([[1e4, -1e4, 0.0]], "float32")
    assert softmax(huge).tolist() == [[1, 0, 0]]
    np.testing.assert_allclose(sigmoid(huge), [[1, 0, 0.5]])
