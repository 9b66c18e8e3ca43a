import keras
import numpy as np
import pytest

from kd_tf import ConversionError, FileModel
from kd_tf.export.convert import _reason_of_failure
from kd_tf.specs import read_arguments
from tests.export.conftest import (
    COLUMNS,
    IMAGES,
    convert,
    interpreter,
    keras_logits,
    keras_values,
)


def test_file_outputs_the_logits_of_keras_from_raw_pixels(exported):
    model, file = exported
    np.testing.assert_allclose(
        FileModel(file)(IMAGES), keras_logits(model), rtol=1e-4, atol=1e-5
    )


def test_input_and_output_are_named_static_and_what_a_device_has(exported):
    loaded = interpreter(exported[1])
    signature = loaded.get_signature_list()["serving_default"]
    assert signature == {"inputs": ["image"], "outputs": ["logits"]}
    (image,) = loaded.get_input_details()
    assert image["dtype"] == np.uint8
    assert image["shape_signature"].tolist() == [1, 8, 8, 1]


def test_same_model_gives_the_same_bytes(exported, tmp_path):
    model_file = exported[1].with_suffix(".keras")
    convert(model_file, tmp_path / "again.tflite")
    assert (tmp_path / "again.tflite").read_bytes() == exported[1].read_bytes()


def test_operators_that_are_not_builtin_are_refused(tmp_path):
    x = keras.Input((8, 8, 1))
    model = keras.Model(x, keras.layers.Flatten()(keras.ops.erfinv(x)))
    model.save(tmp_path / "erfinv.keras")
    with pytest.raises(ConversionError, match=r"builtin operators. Use layers"):
        convert(tmp_path / "erfinv.keras", tmp_path / "erfinv.tflite")
    assert not (tmp_path / "erfinv.tflite").exists()


def test_images_of_any_size_become_static(tmp_path):
    x = keras.Input((None, None, 1))
    y = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(x))
    keras.Model(x, y).save(tmp_path / "any.keras")
    convert(tmp_path / "any.keras", tmp_path / "any.tflite")
    (image,) = interpreter(tmp_path / "any.tflite").get_input_details()
    assert image["shape_signature"].tolist() == [1, 8, 8, 1]


def test_conversion_has_a_time_limit(exported, tmp_path):
    with pytest.raises(ConversionError, match=r"too long.*time_limit_s=0.1"):
        convert(
            exported[1].with_suffix(".keras"),
            tmp_path / "late.tflite",
            time_limit_s=0.1,
        )


def test_default_time_limit_can_be_read_from_the_source():
    arguments = read_arguments("kd_tf.export.convert:convert_to_tflite")
    assert arguments["time_limit_s"].default == 300.0
    assert "Seconds" in arguments["time_limit_s"].description


@pytest.mark.parametrize(
    ("returncode", "stderr", "words"),
    [
        (-11, "noise", "the converter was killed by SIGSEGV"),
        (1, "noise\nValueError: why\n\n", "ValueError: why"),
        (3, "", "exit status 3"),
    ],
)
def test_a_crash_is_distinguished_from_an_error(returncode, stderr, words):
    process = type("P", (), {"returncode": returncode, "stderr": stderr})
    assert _reason_of_failure(process) == words


def test_values_come_in_the_units_of_their_targets(exported_regression):
    """Features in, normalized each; values out, scaled back."""
    model, file = exported_regression
    signature = interpreter(file).get_signature_list()["serving_default"]
    assert signature == {"inputs": ["features"], "outputs": ["values"]}
    np.testing.assert_allclose(
        FileModel(file)(COLUMNS), keras_values(model), rtol=1e-3
    )
