import numpy as np
import pytest

from kd_tf import FileModel, QuantizationError, quantize_tflite
from tests.export.conftest import IMAGES, interpreter, keras_logits


def test_int8_file_is_integer_only(exported, tmp_path):
    path = tmp_path / "int8.tflite"
    record = quantize_tflite(exported[1], path, recipe="int8", examples=IMAGES)
    assert record.in_float == {}
    assert record.operators["CONV_2D"] == 2
    loaded = interpreter(path)
    types = {t["dtype"] for t in loaded.get_tensor_details()}
    assert np.float32 not in types
    (image,) = loaded.get_input_details()
    (logits,) = loaded.get_output_details()
    assert (image["dtype"], image["quantization"]) == (np.uint8, (1.0, 0))
    assert logits["dtype"] == np.int8


def test_int8_ranges_are_not_clipped(exported, tmp_path):
    # A moving average of the extremes gave errors a hundred times as large.
    model, file = exported
    path = tmp_path / "int8.tflite"
    quantize_tflite(file, path, recipe="int8", examples=IMAGES)
    expected = keras_logits(model)
    error = FileModel(path)(IMAGES) - expected
    assert np.mean(error**2) / np.var(expected) < 5e-3


def test_weight_only_int8_is_smaller_and_close(exported, tmp_path):
    model, file = exported
    path = tmp_path / "weight_only.tflite"
    record = quantize_tflite(file, path, recipe="weight_only_int8")
    assert "CONV_2D" in record.in_float
    assert path.stat().st_size < file.stat().st_size
    np.testing.assert_allclose(
        FileModel(path)(IMAGES), keras_logits(model), atol=0.05
    )


@pytest.mark.parametrize("recipe", ["int8", "weight_only_int8"])
def test_quantization_repeats_to_the_byte(exported, tmp_path, recipe):
    paths = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    for path in paths:
        quantize_tflite(exported[1], path, recipe=recipe, examples=IMAGES)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_unknown_recipe_is_refused(exported, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"recipe 'int7'.*Allowed: weight_only_int8, int8. Received",
    ):
        quantize_tflite(
            exported[1], tmp_path / "x", recipe="int7", examples=IMAGES
        )


@pytest.mark.parametrize("examples", [None, IMAGES[:0]])
def test_recipe_that_needs_examples_is_not_run_without(
    exported, tmp_path, examples
):
    with pytest.raises(ValueError, match="'int8' learns ranges from examples"):
        quantize_tflite(
            exported[1], tmp_path / "x", recipe="int8", examples=examples
        )


def test_file_that_cannot_be_quantized_is_refused(tmp_path):
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"no model at all")
    with pytest.raises(QuantizationError, match=r"bad.tflite cannot be quant"):
        quantize_tflite(path, tmp_path / "x", recipe="int8", examples=IMAGES)
