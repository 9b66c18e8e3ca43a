import keras
import numpy as np
import pytest

from kd_tf.tasks import IGNORED, label_loss, score_metrics
from kd_tf.tasks.class_objectives import ClassLoss, MeanIoU
from tests.tasks.cases import CASES

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4, 6, 6, 3)).astype("float32")
MASKS = RNG.integers(0, 3, (4, 6, 6))
PART = np.where(RNG.random((4, 6, 6)) < 0.3, IGNORED, MASKS)


def test_cross_entropy_is_kerass_own():
    keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    assert float(label_loss("segmentation")(MASKS, LOGITS)) == pytest.approx(
        float(keras_loss(MASKS, LOGITS)), rel=1e-6
    )


def test_numbers_and_fractions_of_one_class_are_alike():
    fractions = np.eye(3)[MASKS]
    loss = ClassLoss(0.1, dice_weight=0.5)
    assert float(loss(MASKS, LOGITS)) == pytest.approx(
        float(loss(fractions, LOGITS)), rel=1e-6
    )


def test_ignored_pixels_count_for_nothing():
    loss = ClassLoss(0.1, dice_weight=0.5)
    other = np.where((PART == IGNORED)[..., None], 7.0, LOGITS)
    assert float(loss(PART, LOGITS)) == pytest.approx(
        float(loss(PART, other)), rel=1e-6
    )
    nothing = np.full_like(MASKS, IGNORED)
    assert float(ClassLoss()(nothing, LOGITS)) == 0


def test_smoothing_is_kerass_own():
    keras_loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.2
    )
    assert float(ClassLoss(0.2)(MASKS, LOGITS)) == pytest.approx(
        float(keras_loss(np.eye(3)[MASKS], LOGITS)), rel=1e-5
    )


def test_dice_by_hand():
    # Two pixels of class 0, given it with probabilities 1 and 0.5.
    logits = np.array([[[50.0, 0.0], [0.0, 0.0]]], "float32")
    masks = np.array([[0, 0]])
    dice = [(2 * 1.5 + 1) / (2 + 1.5 + 1), (0 + 1) / (0.5 + 1)]
    entropy = np.log(2) / 2
    loss = float(ClassLoss(dice_weight=2.0)(masks, logits))
    assert loss == pytest.approx(entropy + 2 * (1 - np.mean(dice)), rel=1e-5)


def test_loss_of_float16_logits_is_float32():
    loss = ClassLoss().call(MASKS, LOGITS.astype("float16"))
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_metrics_take_fractions_as_numbers(task):
    logits, targets = CASES[task]
    fractions = np.eye(3)[np.where(targets == IGNORED, 0, targets)]
    fractions = fractions * (targets != IGNORED)[..., None]
    first, second = score_metrics(task, 3)[0], score_metrics(task, 3)[0]
    first.update_state(targets, logits)
    second.update_state(fractions, logits)
    assert float(first.result()) == pytest.approx(float(second.result()))


def test_a_config_makes_an_equal_loss_and_metric():
    loss = ClassLoss.from_config(ClassLoss(0.1, 0.5).get_config())
    assert (loss.smoothing, loss.dice_weight) == (0.1, 0.5)
    metric = MeanIoU.from_config(MeanIoU(3, name="m").get_config())
    assert (metric.num_classes, metric.name) == (3, "m")
