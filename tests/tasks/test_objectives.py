import keras
import numpy as np
import pytest

from kd_tf.tasks import IGNORED, TASKS
from kd_tf.tasks.objectives import ClassLoss, label_loss, score_metrics
from kd_tf.tasks.scoring import new_score

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4, 6, 6, 3)).astype("float32")
MASKS = RNG.integers(0, 3, (4, 6, 6))
PART = np.where(RNG.random((4, 6, 6)) < 0.3, IGNORED, MASKS)


def test_cross_entropy_is_keras_own():
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert float(label_loss("segmentation")(MASKS, LOGITS)) == pytest.approx(
        float(keras_loss(MASKS, LOGITS)), rel=1e-6
    )


def test_numbers_and_shares_of_one_class_are_alike():
    shares = np.eye(3)[MASKS]
    loss = ClassLoss(0.1, dice_weight=0.5)
    assert float(loss(MASKS, LOGITS)) == pytest.approx(
        float(loss(shares, LOGITS)), rel=1e-6
    )


def test_ignored_pixels_count_for_nothing():
    loss = ClassLoss(0.1, dice_weight=0.5)
    other = np.where((PART == IGNORED)[..., None], 7.0, LOGITS)
    assert float(loss(PART, LOGITS)) == pytest.approx(
        float(loss(PART, other)), rel=1e-6
    )
    nothing = np.full_like(MASKS, IGNORED)
    assert float(ClassLoss()(nothing, LOGITS)) == 0


def test_smoothing_is_keras_own():
    keras_loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.2
    )
    assert float(ClassLoss(0.2)(MASKS, LOGITS)) == pytest.approx(
        float(keras_loss(np.eye(3)[MASKS], LOGITS)), rel=1e-5
    )


def test_dice_by_hand():
    # Two pixels of class 0, given it with shares 1 and 0.5.
    logits = np.array([[[50.0, 0.0], [0.0, 0.0]]], "float32")
    masks = np.array([[0, 0]])
    dice = [(2 * 1.5 + 1) / (2 + 1.5 + 1), (0 + 1) / (0.5 + 1)]
    entropy = np.log(2) / 2
    found = float(ClassLoss(dice_weight=2.0)(masks, logits))
    assert found == pytest.approx(entropy + 2 * (1 - np.mean(dice)), rel=1e-5)


CASES = {
    "classification": (RNG.normal(size=(60, 3)), RNG.integers(0, 3, 60)),
    "segmentation": (LOGITS, PART),
    "regression": (RNG.normal(size=(60, 2)), RNG.normal(size=(60, 2))),
}


@pytest.mark.parametrize("task", CASES)
def test_what_is_watched_is_what_is_reported(task):
    answers, targets = CASES[task]
    answers, targets = answers.astype("float32"), targets.astype("float32")
    metric = score_metrics(task, answers.shape[-1])[0]
    assert metric.name == TASKS[task].score
    for half in (slice(0, 2), slice(2, None)):
        metric.update_state(targets[half], answers[half])
    score = new_score(task, answers.shape[-1])
    score.update(answers, targets)
    expected = score.result()[TASKS[task].score]
    assert float(metric.result()) == pytest.approx(expected, abs=1e-5)


def test_watched_precision_is_near_the_reported_one():
    targets = (RNG.random((400, 4)) < 0.3).astype("float32")
    answers = RNG.normal(size=(400, 4)).astype("float32") + targets
    metric = score_metrics("multilabel", 4)[0]
    metric.update_state(targets, answers)
    score = new_score("multilabel", 4)
    score.update(answers, targets)
    expected = score.result()["mean_average_precision"]
    # Keras interpolates between 200 thresholds.
    assert float(metric.result()) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_metrics_take_shares_as_numbers(task):
    answers, targets = CASES[task]
    shares = np.eye(3)[np.where(targets == IGNORED, 0, targets)]
    shares = shares * (targets != IGNORED)[..., None]
    first, second = score_metrics(task, 3)[0], score_metrics(task, 3)[0]
    first.update_state(targets, answers)
    second.update_state(shares, answers)
    assert float(first.result()) == pytest.approx(float(second.result()))


def test_losses_learn_nothing_from_probabilities_that_are_right():
    for task in ("classification", "multilabel"):
        answers = np.array([[80.0, -80.0]])
        targets = np.array([0]) if task == "classification" else [[1.0, 0.0]]
        loss = label_loss(task)(np.asarray(targets), answers)
        assert float(loss) == pytest.approx(0, abs=1e-6)
