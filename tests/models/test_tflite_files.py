"""Models of this room as `.tflite` files, in float and in 8 bits."""

import keras
import numpy as np
import pytest

from kd_tf import FileModel, convert_to_tflite, quantize_tflite
from kd_tf.data.sources.source import ArraySpec
from tests.models.cases import build

RECIPES = ("weight_only_int8", "int8")


def tones(num):
    """int16 waveforms of two tones in noise, and which of them it is."""
    rng, classes = np.random.default_rng(0), np.arange(num) % 2
    hertz = np.array([500, 2000])[classes] * rng.uniform(0.8, 1.2, num)
    turns = np.outer(hertz, np.arange(2048)) / 8000
    waves = rng.uniform(0.02, 0.6, (num, 1)) * np.sin(2 * np.pi * turns)
    waves += rng.uniform(0.001, 0.05, (num, 1)) * rng.normal(size=waves.shape)
    return (waves * 2**15).clip(-(2**15), 2**15 - 1).astype("int16"), classes


def cosine(a, b):
    """Similarity of the outputs of two files, without their means."""
    a, b = (x - x.mean(axis=0) for x in (a, b))
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


@pytest.mark.parametrize("name", ["ds_cnn", "gru", "transformer"])
def test_a_model_of_sound_learns_tones_and_keeps_them_in_8_bits(name, tmp_path):
    keras.utils.set_random_seed(1)
    (x, y), model = tones(192), build(name, dropout=0.0)
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(x / 2**15, y, batch_size=16, epochs=8, verbose=0)
    files = convert_and_quantize(model, x, tmp_path)
    outputs = {kind: FileModel(files[kind])(x) for kind in files}
    by_keras = model.predict(x / 2**15, verbose=0)
    np.testing.assert_allclose(outputs["float"], by_keras, rtol=1e-3, atol=1e-3)
    assert np.mean(by_keras.argmax(axis=-1) == y) > 0.95
    for recipe in RECIPES:
        assert cosine(outputs["float"], outputs[recipe]) > 0.98, recipe


def test_a_large_unet_of_transposed_convolutions_runs_in_8_bits(tmp_path):
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), "uint8")
    # From 256 KiB on, the quantizer writes constants behind the model.
    model = build("unet", width=32, depth=2)
    files = convert_and_quantize(model, x, tmp_path, std=255.0)
    assert files["int8"].stat().st_size > 2**18
    outputs = {kind: FileModel(files[kind])(x) for kind in files}
    assert outputs["int8"].shape == (8, 8, 8, 2)
    assert cosine(outputs["float"], outputs["int8"]) > 0.98


def convert_and_quantize(model, x, folder, std=2.0**15):
    model.save(folder / "model.keras")
    files = {kind: folder / f"{kind}.tflite" for kind in ("float", *RECIPES)}
    convert_to_tflite(
        folder / "model.keras",
        files["float"],
        example=ArraySpec(x.shape[1:], x.dtype.name),
        mean=0.0,
        std=std,
        time_limit_s=300,
    )
    for recipe in RECIPES:
        quantize_tflite(
            files["float"], files[recipe], recipe=recipe, examples=x[:64]
        )
    return files
