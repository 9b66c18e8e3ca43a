"""One small file, converted once for all tests of the room."""

import keras
import numpy as np
import pytest

from kd_tf import convert_to_tflite, quantize_tflite
from kd_tf.data.sources.source import ArraySpec

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "uint8")


@pytest.fixture(scope="session")
def float_file(tmp_path_factory):
    """From uint8 images (8, 8, 1) to 3 logits."""
    folder = tmp_path_factory.mktemp("edge")
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 8, 1))
    y = keras.layers.Flatten()(keras.layers.Conv2D(4, 3)(x))
    keras.Model(x, keras.layers.Dense(3)(y)).save(folder / "model.keras")
    convert_to_tflite(
        folder / "model.keras",
        folder / "float.tflite",
        example=ArraySpec((8, 8, 1), "uint8"),
        mean=0.0,
        std=255.0,
        time_limit_s=120,
    )
    return folder / "float.tflite"


@pytest.fixture(scope="session")
def int8_file(float_file):
    """The same, with int8 logits."""
    path = float_file.with_name("int8.tflite")
    quantize_tflite(float_file, path, recipe="int8", examples=IMAGES)
    return path
