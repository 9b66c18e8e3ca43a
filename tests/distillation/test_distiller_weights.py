"""Weights of examples, of classes and of pixels; masks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf import soft_target_loss
from tests.distillation.distiller_cases import (
    HINT,
    LABEL_LOSS,
    conv,
    data,
    distil,
    evaluated,
    fitted,
    kernel,
    mlp,
)


def test_class_weights_weigh_all_losses_as_sample_weights_do():
    losses = ["soft_targets", HINT]
    by_class = fitted(distil(losses), class_weight={0: 0.5, 1: 2.0, 2: 1.0})
    by_sample = fitted(distil(losses), sample_weight=np.tile([0.5, 2, 1], 2))
    for name, expected in by_sample.items():
        np.testing.assert_allclose(by_class[name], expected, rtol=1e-6)
    unweighted = fitted(distil(losses))
    assert np.all(np.not_equal(unweighted["hint_loss"], by_sample["hint_loss"]))


def test_sample_weights_weigh_a_feature_loss_by_hand():
    distiller, (x, y) = distil(HINT, models=(mlp(1), mlp(2))), data()
    weights = np.array([1, 0, 2, 1, 0, 3], "f")
    logs = evaluated(distiller, x, y, sample_weight=weights)
    hidden = [m.layers[0](x) for m in (distiller.student, distiller.teacher)]
    squares = np.mean(np.square(hidden[0] - hidden[1]), axis=-1)
    by_hand = np.sum(weights * squares) / 6
    assert logs["hint_loss"] == pytest.approx(by_hand, rel=1e-5)


def embedded(seed):
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(
                7, 4, mask_zero=True, embeddings_initializer=kernel(seed)
            ),
            keras.layers.Dense(3, kernel_initializer=kernel(seed + 1)),
        ]
    )


def masking(seed):
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            keras.layers.Masking(),
            keras.layers.Dense(3, kernel_initializer=kernel(seed)),
        ]
    )


@pytest.mark.parametrize("make", [embedded, masking])
@pytest.mark.parametrize("weights", [None, [2.0, 0.5]])
def test_masked_steps_count_nothing(make, weights):
    kept = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    x = kept * [[3, 1, 2, 5, 6], [6, 2, 3, 4, 1]]
    if make is masking:
        x = np.random.default_rng(0).normal(size=(2, 5, 4)) * kept[..., None]
    student, teacher = make(0), make(10)
    distiller = distil(models=(student, teacher), weight=0, loss=None)
    weights = None if weights is None else np.array(weights)
    dataset = tf.data.Dataset.from_tensors(
        (x,) if weights is None else (x, np.zeros((2, 5)), weights)
    )
    loss = evaluated(distiller, dataset)["soft_targets_loss"]
    steps = kept if weights is None else kept * weights[:, None]
    losses = np.array(soft_target_loss(student(x), teacher(x)))
    by_hand = np.sum(steps * losses) / np.sum(kept)
    assert loss == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("loss", ["rkd_distance", "correlation_congruence"])
def test_a_loss_on_whole_examples_takes_masked_sequences(loss):
    x = np.random.default_rng(0).normal(size=(4, 5, 4)).astype("f")
    x[:, 3:] = 0
    distiller = distil(loss, models=(masking(0), masking(1)), weight=0)
    assert evaluated(distiller, x)["loss"] > 0


def per_pixel(seed):
    return keras.Sequential(
        [
            keras.Input((4, 6, 1)),
            keras.layers.Conv2D(
                3, 3, padding="same", kernel_initializer=kernel(seed)
            ),
        ]
    )


@pytest.mark.parametrize("shape", [(2,), (2, 4, 6), (2, 1, 6)])
def test_pixels_are_weighed_by_hand(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 6, 1)).astype("f")
    y = rng.integers(0, 3, (2, 4, 6))
    weights = rng.uniform(size=shape).astype("f")
    student, teacher = per_pixel(0), per_pixel(1)
    # Keras's own loss on labels refuses one weight for many outputs.
    loss = None if shape == (2,) else LABEL_LOSS
    logs = evaluated(
        distil(models=(student, teacher), weight=0, loss=loss),
        *(x, y),
        sample_weight=weights,
    )
    spread = np.broadcast_to(
        weights.reshape(2, 1, 1) if len(shape) == 1 else weights, (2, 4, 6)
    )
    z, t = (np.array(model(x)) / 4 for model in (student, teacher))
    z, t = (a - np.log(np.exp(a).sum(-1, keepdims=True)) for a in (z, t))
    losses = 16 * np.sum(np.exp(t) * (t - z), axis=-1)
    by_hand = np.sum(spread * losses) / (2 * 4 * 6)
    assert logs["soft_targets_loss"] == pytest.approx(by_hand, rel=1e-4)


def test_a_loss_on_whole_examples_takes_their_mean_pixel_weight():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 4, 6, 1)).astype("f"), np.zeros((4, 4, 6), int)
    weights = rng.uniform(size=(4, 4, 6)).astype("f")
    models = per_pixel(0), per_pixel(1)
    by_pixel, by_image = (
        evaluated(
            distil("rkd_distance", models=models, weight=0, loss=None),
            *(x, y),
            sample_weight=given,
        )["loss"]
        for given in (weights, weights.mean(axis=(1, 2)))
    )
    assert by_pixel == pytest.approx(by_image, rel=1e-5)


def test_weights_of_examples_may_be_arrays():
    distiller = distil([HINT], models=(conv(1, 2), conv(2, 3)), weight=0.0)
    x, y = data(4, (8, 8, 1))
    distiller.compile(keras.optimizers.SGD(0.1), LABEL_LOSS, run_eagerly=True)
    logs = distiller.train_on_batch(
        x, y, sample_weight=np.zeros(4), return_dict=True
    )
    assert logs["hint_loss"] == 0
