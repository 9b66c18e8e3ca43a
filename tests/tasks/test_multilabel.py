import numpy as np
import pytest
from sklearn import metrics

from kd_tf.tasks import get_task, score_metrics
from tests.tasks.cases import RNG, fill_score

TASK = get_task("multilabel")
NAMES = ["cat", "dog", "bird"]


def test_scores_by_hand():
    outputs = np.array([[2.0, -1.0], [1.0, 1.0], [-1.0, 3.0]])
    targets = np.array([[1, 0], [0, 0], [1, 1]])
    score = TASK.new_score(2)
    losses = score.update(outputs, targets)
    # The first: log(1 + e^-2) for the flag set, log(1 + e^-1) for the other.
    by_hand = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(-1))) / 2
    assert losses[0] == pytest.approx(by_hand)
    record = score.result()
    # Class 0 is found 1st and 3rd of three, class 1 first.
    precision = [(1 / 1 + 2 / 3) / 2, 1]
    assert record.per_class == {"average precision": pytest.approx(precision)}
    assert record.scores == {
        "mean_average_precision": pytest.approx(np.mean(precision)),
        "accuracy": pytest.approx(3 / 6),
        # 2 hits, 2 false alarms, 1 miss.
        "micro_f1": pytest.approx(4 / 7),
    }


def test_scores_against_scikit_learn():
    outputs = RNG.normal(size=(150, 5)).astype("float32")
    targets = (RNG.random((150, 5)) < 0.3).astype("uint8")
    targets[:, 4] = 0  # a class that never occurs is left out
    record = fill_score("multilabel", 5, outputs, targets).result()
    by_class = [
        metrics.average_precision_score(targets[:, c], outputs[:, c])
        for c in range(4)
    ]
    scores = record.scores
    assert scores["mean_average_precision"] == pytest.approx(np.mean(by_class))
    assert record.per_class["average precision"][:4] == pytest.approx(by_class)
    assert record.per_class["average precision"][4] is None
    assert scores["accuracy"] == pytest.approx(
        ((outputs > 0) == targets).mean()
    )


def test_metric_of_an_epoch_is_near_the_score():
    targets = (RNG.random((400, 4)) < 0.3).astype("float32")
    outputs = RNG.normal(size=(400, 4)).astype("float32") + targets
    metric = score_metrics("multilabel", 4)[0]
    assert metric.name == TASK.score
    metric.update_state(targets, outputs)
    scores = fill_score("multilabel", 4, outputs, targets).result().scores
    # Keras interpolates between 200 thresholds.
    assert float(metric.result()) == pytest.approx(
        scores["mean_average_precision"], abs=0.02
    )


def test_label_loss_is_0_for_a_certain_and_correct_output():
    outputs, targets = np.array([[80.0, -80.0]]), np.array([[1.0, 0.0]])
    loss = float(TASK.label_loss()(targets, outputs))
    assert loss == pytest.approx(0, abs=1e-6)
    assert float(TASK.label_loss(mixed=True)(targets, outputs)) == loss


def test_smoothing_moves_flags_towards_one_half():
    outputs = np.array([[0.7, -0.2]], "float32")
    smoothed = TASK.label_loss(smoothing=0.2)(np.array([[1.0, 0]]), outputs)
    expected = TASK.label_loss()(np.array([[0.9, 0.1]]), outputs)
    assert float(smoothed) == pytest.approx(float(expected))


def test_agreement_is_the_share_of_equal_flags():
    agreement = TASK.new_agreement()
    agreement.update(np.array([[1.0, -1.0]]), np.array([[3.0, 2.0]]))
    assert agreement.result() == 0.5


def test_descriptions():
    assert TASK.describe_target(np.array([1, 0, 1]), NAMES) == "cat, bird"
    assert TASK.describe_output(np.array([-1.0, 0.5, 0]), NAMES) == "dog"
    assert TASK.describe_output(np.array([-1.0, -1, -1]), NAMES) == "none"
