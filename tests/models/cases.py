"""Cheap arguments for every row of the table of models, and what they give."""

import dataclasses
import math

import keras
import numpy as np
import pytest

from kd_tf import build_model
from kd_tf.models import MODELS

LOG_MEL = {
    "sample_rate": 8000,
    "frame_ms": 16,
    "hop_ms": 16,
    "num_mels": 12,
    "low_hz": 100,
    "high_hz": 4000,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the battery."""

    arguments: dict
    shapes: tuple  # at least two that it takes
    parameters: int  # at the first shape, with two outputs, by hand
    refused: tuple = ()  # a shape that it does not take
    message: str = ""  # of the error


IMAGES = ((8, 8, 1), (12, 8, 3))
SOUNDS = ((2048,), (2176, 1))
DENSE = 4 * 2 + 2  # logits of 4 features
CASES = {
    # Weights and biases; normalization has four numbers a channel.
    "cnn": Case(
        {"filters": [3, 4], "hidden": 0, "dropout": 0.1},
        IMAGES,
        9 * 3 + 4 * 3 + 9 * 3 * 4 + 4 * 4 + DENSE,
        (1, 8, 1),
        r"at least 2x2 pixels. Received: \(1, 8, 1\)",
    ),
    "ds_cnn": Case(
        {"filters": 4, "blocks": 1, "dropout": 0.1, "log_mel": LOG_MEL},
        SOUNDS,
        4 * 12 + 40 * 4 + 16 + 9 * 4 + 16 + 4 * 4 + 16 + DENSE,
        (8, 8, 1),
        "reads waveforms",
    ),
    "gru": Case(
        {"units": 4, "stride": 4, "dropout": 0.1, "log_mel": LOG_MEL},
        SOUNDS,
        4 * 12 + 6 * 12 * 4 + 16 + 3 * 4 * (4 + 4 + 2) + DENSE,
        (100,),
        "a frame has 128 samples",
    ),
    "keras_application": Case(
        {"backbone": "MobileNet", "weights": None, "dropout": 0.1},
        ((32, 32, 1), (40, 32, 3)),
        3_228_864 + 1024 * 2 + 2,
        (32, 32, 2),
        r"needs images \(height, width, 1 or 3\)",
    ),
    "mlp": Case({"hidden": [5], "dropout": 0.1}, IMAGES, 65 * 5 + 5 * 2 + 2),
    "mobilenet": Case(
        {"filters": [2, 3, 4], "stem_stride": 1, "dropout": 0.1},
        IMAGES,
        (9 * 2 + 8)
        + (9 * 2 + 8 + 2 * 3 + 12)
        + (9 * 3 + 12 + 3 * 4 + 16)
        + DENSE,
        (8, 8),
        "needs images",
    ),
    "resnet": Case(
        {"depth": 8, "width": 1},
        IMAGES,
        (9 + 4)
        + (9 + 4 + 9 + 4)
        + (9 * 2 + 8 + 9 * 4 + 8 + 2 + 8)
        + (9 * 8 + 16 + 9 * 16 + 16 + 8 + 16)
        + DENSE,
        (3, 8, 1),
        "at least 4x4",
    ),
    "transformer": Case(
        {
            "width": 4,
            "depth": 1,
            "heads": 2,
            "dropout": 0.1,
            "patch": 4,
            "log_mel": LOG_MEL,
        },
        (SOUNDS[0], (8, 12, 3), (10, 6)),
        4 * 12
        + (12 * 4 + 4)
        + 16 * 4
        + (3 * 8 + 4 * (4 * 4 + 4) + (4 * 8 + 8) + (8 * 4 + 4))
        + DENSE,
        (8, 6, 3),
        "be fixed and divide by 4",
    ),
    "unet": Case(
        {
            "width": 2,
            "depth": 1,
            "upsampling": "transposed",
            "dropout": 0.1,
            "separable": False,
        },
        IMAGES,
        (9 * 2 + 8 + 9 * 4 + 8)
        + (9 * 8 + 16 + 9 * 16 + 16)
        + (4 * 4 * 2 + 2)
        + (9 * 4 * 2 + 8 + 9 * 4 + 8)
        + (2 * 2 + 2),
        (7, 8, 1),
        r"divide by 2. Received: \(7, 8, 1\)",
    ),
    "vgg": Case(
        {"filters": [3, 4], "repeats": 2, "dropout": 0.1},
        IMAGES,
        9 * (3 + 9 + 12 + 16) + 4 * (3 + 3 + 4 + 4) + DENSE,
        (8, 1, 1),
        "at least 2x2 pixels",
    ),
}
every_model = pytest.mark.parametrize("name", list(MODELS))


def build(name, shape=None, **changes):
    """A model of two outputs, with the arguments of its case but for some."""
    case = CASES[name]
    arguments = {**case.arguments, **changes}
    return build_model(name, shape or case.shapes[0], 2, **arguments)


def examples(name, num, shape=None):
    shape = (num, *(shape or CASES[name].shapes[0]))
    return np.random.default_rng(0).normal(0, 0.3, shape).astype("float32")


def own_model(shape, classes, *, units=3):
    """Builds a model of the user's own, whose parameters have other names."""
    inputs = keras.Input(shape)
    x = keras.layers.Flatten(name="flat")(inputs)
    x = keras.layers.Dense(units, name="hidden")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x))


def own_parameters(shape, classes, units):
    return (math.prod(shape) + 1) * units + (units + 1) * classes
