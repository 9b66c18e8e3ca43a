import re

import numpy as np
import pytest
import tensorflow as tf

from kd_tf.data.augmentation import Augmentation
from kd_tf.tasks import IGNORED

SEED = tf.constant([1, 0], tf.int64)


def images(batch=6, side=8, channels=3):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (batch, side, side, channels)).astype("uint8")
    return tf.constant(x), tf.constant(x[..., 0] // 64)


def recordings(batch=5, samples=1000):
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1000, (batch, samples)).astype("int16")
    return tf.constant(x), tf.range(batch)


IMAGE_VARIANTS = {
    "flip": {"flip": "both"},
    "quarter": {"rotate": "quarter"},
    "degrees": {"rotate": 30.0},
    "crop": {"crop": 0.6},
    "colour": {"colour": 0.3},
    "all": {"flip": "horizontal", "rotate": 10.0, "crop": 0.8, "colour": 0.1},
}
AUDIO_VARIANTS = {
    "shift": {"shift": 0.2},
    "noise": {"noise": 0.5},
    "spec_augment": {"spec_augment": 0.3},
}


def variants():
    for name, arguments in IMAGE_VARIANTS.items():
        yield pytest.param(images, arguments, id=name)
    for name, arguments in AUDIO_VARIANTS.items():
        yield pytest.param(recordings, arguments, id=name)


@pytest.mark.parametrize(("data", "arguments"), [*variants()])
def test_battery(data, arguments):
    x, y = data()
    augment = Augmentation(4, **arguments)
    once, targets = augment(x, y, SEED)
    again, _ = tf.function(augment)(x, y, SEED)
    other, _ = augment(x, y, SEED + 1)
    assert once.dtype == tf.float32
    assert once.shape == x.shape
    assert targets.dtype == y.dtype
    # By the seed alone, in a graph as outside; and it does change something.
    np.testing.assert_allclose(once, again, rtol=1e-4, atol=1e-2)
    assert not np.allclose(once, other, atol=1e-3)
    assert not np.allclose(once, tf.cast(x, tf.float32), atol=1e-3)
    # Examples of a batch fare differently.
    same = tf.repeat(x[:1], len(x), axis=0)
    fates, _ = augment(same, tf.repeat(y[:1], len(y), axis=0), SEED)
    assert not np.allclose(fates[0], fates[1:], atol=1e-3)


@pytest.mark.parametrize("flip", ["horizontal", "vertical", "both"])
@pytest.mark.parametrize("rotate", [None, "quarter"])
def test_flips_and_quarter_turns_move_pixels_and_lose_none(flip, rotate):
    x, y = images(batch=40)
    moved, masks = Augmentation(4, flip=flip, rotate=rotate)(x, y, SEED)
    turns = range(4) if rotate else [0]
    motions = set()
    for before, after, mask in zip(x.numpy(), moved, masks, strict=True):
        candidates = {
            (k, mirrored): np.rot90(
                {
                    None: before,
                    "horizontal": before[:, ::-1],
                    "vertical": before[::-1],
                    "both": before[::-1, ::-1],
                }[mirrored],
                k,
            )
            for k in turns
            for mirrored in _allowed(flip)
        }
        matching = [
            key
            for key, image in candidates.items()
            if np.allclose(image, after, atol=0.05)
        ]
        assert matching
        np.testing.assert_array_equal(
            mask, candidates[matching[0]][..., 0] // 64
        )
        motions.add(matching[0])
    # In forty draws every motion comes up.
    assert len(motions) >= len(_allowed(flip)) * (2 if rotate else 1)


def _allowed(flip):
    if flip == "both":
        return [None, "horizontal", "vertical", "both"]
    return [None, flip]


def test_masks_move_with_their_images():
    # Masks made of the image itself; smooth, so that sampling agrees.
    ramp = np.linspace(0, 255, 64, dtype="float32")
    x = np.broadcast_to(ramp[None, :, None, None], (8, 64, 64, 1))
    y = (x[..., 0] > 127).astype("uint8")
    augment = Augmentation(2, flip="both", rotate=180.0, crop=0.5)
    moved, masks = augment(tf.constant(x), tf.constant(y), SEED)
    agree = (moved[..., 0].numpy() > 127) == masks.numpy()
    assert agree.mean() > 0.98
    assert set(np.unique(masks)) <= {0, 1}


def test_ignored_pixels_stay_ignored():
    x, y = images()
    y = tf.fill(y.shape, tf.constant(IGNORED, tf.uint8))
    _, masks = Augmentation(4, rotate=45.0, crop=0.5)(x, y, SEED)
    assert (masks.numpy() == IGNORED).all()


def test_crop_keeps_at_least_its_fraction():
    # A ramp in x: what remains of its range is the fraction that was kept.
    ramp = np.arange(100, dtype="float32")
    x = np.broadcast_to(ramp[None, None, :, None], (50, 100, 100, 1))
    cropped, _ = Augmentation(2, crop=0.6)(
        tf.constant(x), tf.zeros(50, tf.int64), SEED
    )
    kept = (np.ptp(cropped[:, 50, :, 0], axis=1)) / 99
    assert kept.min() >= 0.59
    assert kept.max() <= 1.0
    assert np.ptp(kept) > 0.2


def test_colours_stay_pixels():
    x, y = images(batch=50)
    tinted, masks = Augmentation(4, colour=0.9)(x, y, SEED)
    assert tf.reduce_min(tinted) >= 0
    assert tf.reduce_max(tinted) <= 255
    np.testing.assert_array_equal(masks, y)


def test_mixup_weighs_examples_and_targets_alike():
    x = tf.constant([[[[0.0]]], [[[100.0]]]])
    y = tf.constant([0, 1], tf.int64)
    mixed, fractions = Augmentation(2, mixup=1.0)(x, y, SEED)
    np.testing.assert_allclose(tf.reduce_sum(fractions, -1), 1, rtol=1e-6)
    # The fraction of the second class is that of the second image.
    np.testing.assert_allclose(
        mixed[:, 0, 0, 0], 100 * fractions[:, 1], rtol=1e-5
    )


def test_mixup_of_masks_leaves_ignored_pixels_out():
    x, y = images(batch=2)
    y = tf.constant(
        np.stack([np.zeros((8, 8)), np.full((8, 8), IGNORED)]).astype("uint8")
    )
    _, fractions = Augmentation(4, mixup=1.0)(x, y, SEED)
    # Only the first image's pixels are of a class, by its weight.
    assert fractions.shape == (2, 8, 8, 4)
    assert (fractions[..., 1:].numpy() == 0).all()
    total = fractions[..., 0].numpy()
    assert (total > 0).all()
    assert (total < 1).all()


def test_shift_moves_silence_in():
    x = tf.ones((20, 1000), tf.int16)
    shifted, _ = Augmentation(2, shift=0.2)(x, tf.range(20), SEED)
    silent = 1000 - np.asarray(shifted).sum(axis=1)
    assert silent.max() <= 200
    assert silent.max() > 50
    # All of it is at one end.
    ends = np.maximum(shifted[:, 0], shifted[:, -1])
    assert (ends == 1).all()


def test_noise_is_relative_to_the_loudness():
    x, y = recordings(batch=30, samples=4000)
    noisy, _ = Augmentation(2, noise=0.5)(x, y, SEED)
    clean = tf.cast(x, tf.float32)
    relative = np.std(noisy - clean, axis=1) / np.std(clean, axis=1)
    assert relative.max() <= 0.52
    assert relative.max() > 0.3
    assert relative.min() < 0.2


def test_spec_augment_silences_time_and_band():
    x = tf.constant(np.random.default_rng(0).normal(size=(1, 4000)) * 1000)
    silenced, _ = Augmentation(2, spec_augment=0.5)(x, tf.range(1), SEED)
    before = np.abs(np.fft.rfft(np.asarray(x[0])))
    after = np.abs(np.fft.rfft(np.asarray(silenced[0])))
    assert (after < 1e-2 * before.mean()).mean() > 0.01
    power = np.square(np.asarray(silenced[0])).reshape(-1, 50).mean(axis=1)
    assert power.min() < power.max() / 2


@pytest.mark.parametrize(
    ("arguments", "shape", "dtype", "received"),
    [
        ({"flip": "both"}, (5,), "float32", "flip for float32 of shape (5,)"),
        ({"shift": 0.1}, (5,), "float32", "shift for float32 of shape (5,)"),
        ({"noise": 0.1}, (4, 4, 3), "uint8", "noise for uint8 of shape (4, 4"),
        ({"colour": 0.1}, (800,), "int16", "colour for int16 of shape (800,)"),
        ({"rotate": "quarter"}, (4, 6, 3), "uint8", "shape (4, 6, 3)"),
    ],
)
def test_changes_of_other_examples_are_refused(
    arguments, shape, dtype, received
):
    examples = np.zeros((2, *shape), dtype)
    with pytest.raises(ValueError, match=re.escape(received)):
        Augmentation(2, **arguments).check(examples)
    Augmentation(2, mixup=0.2).check(examples)
