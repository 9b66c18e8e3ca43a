"""Distillation with a target and an output for each pixel."""

import keras
import numpy as np

from kd_tf import Distiller, LossTerm, build_model
from kd_tf.distillation.loss_table import LOSSES
from kd_tf.tasks import IGNORED, label_loss, score_metrics

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 8, 8, 3)).astype("float32")
MASKS = RNG.integers(0, 3, (6, 8, 8)).astype("int32")
MASKS[:, :2] = IGNORED


def unet(width):
    return build_model(
        "unet",
        (8, 8, 3),
        3,
        width=width,
        depth=1,
        upsampling="bilinear",
        dropout=0.0,
        separable=False,
    )


def distiller(losses):
    keras.utils.set_random_seed(1)
    made = Distiller(unet(4), unet(8), losses, student_weight=0.5)
    made.compile(
        keras.optimizers.Adam(0.01),
        label_loss("segmentation", dice_weight=0.5),
        metrics=score_metrics("segmentation", 3),
    )
    return made


def term(name):
    takes_layers = LOSSES[name].knowledge != "response"
    return LossTerm(name, pairs="auto" if takes_layers else None)


def test_every_loss_takes_pixels():
    # But those of quantities, which classes are not.
    names = [name for name, spec in LOSSES.items() if spec.outputs != "values"]
    logs = (
        distiller([term(name) for name in names])
        .fit(IMAGES, MASKS, batch_size=3, verbose=0)
        .history
    )
    assert {f"{name}_loss" for name in names} <= logs.keys()
    for key, values in logs.items():
        assert np.isfinite(values).all(), key
    for name in names:
        assert logs[f"{name}_loss"][0] > 0, name


def test_soft_targets_a_pixel_bring_the_student_to_its_teacher():
    made = distiller("soft_targets")
    first, *_, last = made.fit(
        IMAGES, MASKS, epochs=20, batch_size=6, verbose=0
    ).history["soft_targets_loss"]
    assert last < 0.8 * first


def test_ignored_pixels_do_not_move_the_students_own_loss():
    made = distiller("soft_targets")
    before = made.evaluate(IMAGES, MASKS, return_dict=True, verbose=0)
    is_counted = MASKS != IGNORED
    logits = made.student.predict(IMAGES, verbose=0)
    log_probabilities = np.asarray(keras.ops.log_softmax(logits)[is_counted])
    entropy = -np.take_along_axis(
        log_probabilities, MASKS[is_counted][:, None], axis=1
    )
    # Averaged over all pixels, with nothing for the ignored ones.
    by_hand = entropy.sum() / MASKS.size
    assert 0 <= before["student_loss"] - by_hand <= 0.5  # the rest is Dice
    made.student.layers[-1].bias.assign([5.0, 0.0, 0.0])
    after = made.evaluate(IMAGES, MASKS, return_dict=True, verbose=0)
    assert after["student_loss"] != before["student_loss"]
