"""Small models and their files, converted once for all tests of the room."""

import keras
import numpy as np
import pytest

from kd_tf import build_model, convert_to_tflite
from kd_tf.data.sources.source import ArraySpec
from kd_tf.results import Moments

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "uint8")
MOMENTS = Moments(mean=[50.0, 0.0], std=[5.0, 1.0])
COLUMN_MEANS, COLUMN_STDS = [1.0, 2.0, 3.0], [1.0, 10.0, 100.0]
COLUMNS = (
    np.random.default_rng(0)
    .normal(COLUMN_MEANS, COLUMN_STDS, (50, 3))
    .astype("float32")
)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A model whose padding meets a mean that is not zero, and its file."""
    folder = tmp_path_factory.mktemp("export")
    keras.utils.set_random_seed(1)
    model = build_model(
        "cnn", (8, 8, 1), 3, filters=[4, 8], hidden=0, dropout=0.5
    )
    model.save(folder / "model.keras")
    convert(folder / "model.keras", folder / "model.tflite")
    return model, folder / "model.tflite"


@pytest.fixture(scope="session")
def exported_regression(tmp_path_factory):
    """A model of columns and values in units of their own, and its file."""
    folder = tmp_path_factory.mktemp("regression")
    keras.utils.set_random_seed(1)
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(2)(x))
    model.save(folder / "model.keras")
    convert_to_tflite(
        folder / "model.keras",
        folder / "model.tflite",
        example=ArraySpec((3,), "float32"),
        mean=COLUMN_MEANS,
        std=COLUMN_STDS,
        target_moments=MOMENTS,
        time_limit_s=120,
    )
    return model, folder / "model.tflite"


def convert(model, file, mean=100.0, std=50.0, time_limit_s=120):
    convert_to_tflite(
        model,
        file,
        example=ArraySpec((8, 8, 1), "uint8"),
        mean=mean,
        std=std,
        time_limit_s=time_limit_s,
    )


def keras_logits(model):
    return model.predict((IMAGES - 100.0) / 50.0, verbose=0)


def keras_values(model):
    normalized = (COLUMNS - COLUMN_MEANS) / COLUMN_STDS
    return model.predict(normalized, verbose=0) * MOMENTS.std + MOMENTS.mean


def interpreter(path):
    from ai_edge_litert.interpreter import Interpreter

    loaded = Interpreter(str(path), num_threads=1)
    loaded.allocate_tensors()
    return loaded
