import keras
import numpy as np
import pytest

from kd_tf import (
    ConversionError,
    FileModel,
    QuantizationError,
    add_labels,
    build_model,
    convert_to_tflite,
    quantize_tflite,
    read_labels,
)
from kd_tf.data.sources.source import ArraySpec
from kd_tf.export.convert import _last_words

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "uint8")


@pytest.fixture(scope="module")
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


def interpreter(path):
    from ai_edge_litert.interpreter import Interpreter

    loaded = Interpreter(str(path), num_threads=1)
    loaded.allocate_tensors()
    return loaded


def test_file_answers_as_keras_from_raw_pixels(exported):
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


def test_same_model_same_bytes(exported, tmp_path):
    model_file = exported[1].with_suffix(".keras")
    convert(model_file, tmp_path / "again.tflite")
    assert (tmp_path / "again.tflite").read_bytes() == exported[1].read_bytes()


def test_class_names_travel_and_do_no_harm(exported, tmp_path):
    model, file = exported
    labelled = tmp_path / "labelled.tflite"
    labelled.write_bytes(file.read_bytes())
    names = ["cat", "dog", "Käse"]
    add_labels(labelled, names)
    assert read_labels(labelled) == names
    np.testing.assert_array_equal(
        FileModel(labelled)(IMAGES), FileModel(file)(IMAGES)
    )


def test_int8_file_touches_no_float(exported, tmp_path):
    model, file = exported
    record = quantize_tflite(file, tmp_path / "int8.tflite", "int8", IMAGES)
    assert record["in_float"] == {}
    assert record["operators"]["CONV_2D"] == 2
    loaded = interpreter(tmp_path / "int8.tflite")
    kinds = {t["dtype"] for t in loaded.get_tensor_details()}
    assert np.float32 not in kinds
    (image,), (logits,) = (
        loaded.get_input_details(),
        loaded.get_output_details(),
    )
    assert (image["dtype"], image["quantization"]) == (np.uint8, (1.0, 0))
    assert logits["dtype"] == np.int8


def test_int8_ranges_are_not_clipped(exported, tmp_path):
    # A moving average of the extremes gave errors a hundred times as large.
    model, file = exported
    quantize_tflite(file, tmp_path / "int8.tflite", "int8", IMAGES)
    expected = keras_logits(model)
    error = FileModel(tmp_path / "int8.tflite")(IMAGES) - expected
    assert np.mean(error**2) / np.var(expected) < 5e-3


def test_weight_only_int8_is_smaller_and_close(exported, tmp_path):
    model, file = exported
    path = tmp_path / "weight_only.tflite"
    record = quantize_tflite(file, path, "weight_only_int8", IMAGES)
    assert "CONV_2D" in record["in_float"]
    np.testing.assert_allclose(
        FileModel(path)(IMAGES), keras_logits(model), atol=0.05
    )


@pytest.mark.parametrize("recipe", ["int8", "weight_only_int8"])
def test_quantization_repeats_to_the_byte(exported, tmp_path, recipe):
    paths = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    for path in paths:
        quantize_tflite(exported[1], path, recipe, IMAGES)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_unknown_recipe_is_refused(exported, tmp_path):
    with pytest.raises(ValueError, match="one of weight_only_int8, int8. Rec"):
        quantize_tflite(exported[1], tmp_path / "x", "int7", IMAGES)


def test_file_that_cannot_be_quantized_is_refused(tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"no model at all")
    with pytest.raises(QuantizationError, match="bad.tflite cannot be quant"):
        quantize_tflite(tmp_path / "bad.tflite", tmp_path / "x", "int8", IMAGES)


def test_operators_that_are_not_builtin_are_refused(tmp_path):
    x = keras.Input((8, 8, 1))
    model = keras.Model(x, keras.layers.Flatten()(keras.ops.erfinv(x)))
    model.save(tmp_path / "erfinv.keras")
    with pytest.raises(ConversionError, match="builtin operators. Allowed: "):
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
    with pytest.raises(ConversionError, match="too long.*Allowed: 0.1 s"):
        convert(
            exported[1].with_suffix(".keras"),
            tmp_path / "late.tflite",
            time_limit_s=0.1,
        )


@pytest.mark.parametrize(
    ("returncode", "stderr", "words"),
    [
        (-11, "noise", "the converter died of SIGSEGV"),
        (1, "noise\nValueError: why\n\n", "ValueError: why"),
        (3, "", "exit status 3"),
    ],
)
def test_a_crash_is_told_from_an_error(returncode, stderr, words):
    done = type("D", (), {"returncode": returncode, "stderr": stderr})
    assert _last_words(done) == words


def test_a_regression_answers_in_the_units_of_its_targets(tmp_path):
    """Features in, normalized each; values out, scaled back."""
    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(2)(x))
    model.save(tmp_path / "model.keras")
    convert_to_tflite(
        tmp_path / "model.keras",
        tmp_path / "model.tflite",
        example=ArraySpec((3,), "float32"),
        mean=[1.0, 2.0, 3.0],
        std=[1.0, 10.0, 100.0],
        values={"mean": [50.0, 0.0], "std": [5.0, 1.0]},
        time_limit_s=120,
    )
    signature = interpreter(tmp_path / "model.tflite").get_signature_list()
    assert signature["serving_default"] == {
        "inputs": ["features"],
        "outputs": ["values"],
    }
    rng = np.random.default_rng(0)
    rows = rng.normal([1, 2, 3], [1, 10, 100], (50, 3)).astype("float32")
    seen = model.predict((rows - [1, 2, 3]) / [1, 10, 100], verbose=0)
    expected = seen * [5, 1] + [50, 0]
    np.testing.assert_allclose(
        FileModel(tmp_path / "model.tflite")(rows), expected, rtol=1e-3
    )
    # In 8 bits each column keeps a scale of its own.
    record = quantize_tflite(
        tmp_path / "model.tflite", tmp_path / "int8.tflite", "int8", rows
    )
    assert "FULLY_CONNECTED" not in record["in_float"]
    found = FileModel(tmp_path / "int8.tflite")(rows)
    error = np.abs(found - expected).max(axis=0)
    assert (error < 0.05 * np.ptp(expected, axis=0)).all()


def test_values_of_other_units_keep_their_digits_in_int8(tmp_path):
    # In one scale, the second would have the steps of the first.
    model = build_model("mlp", (4,), 2, hidden=[8], dropout=0.0)
    model.save(tmp_path / "model.keras")
    values = {"mean": [100.0, -3.0], "std": [20.0, 0.01]}
    convert_to_tflite(
        tmp_path / "model.keras",
        tmp_path / "model.tflite",
        example=ArraySpec((4,), "float32"),
        mean=0.0,
        std=1.0,
        values=values,
        time_limit_s=120,
    )
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    path = tmp_path / "int8.tflite"
    record = quantize_tflite(tmp_path / "model.tflite", path, "int8", x)
    assert "FULLY_CONNECTED" not in record["in_float"]
    expected = model.predict(x, verbose=0) * values["std"] + values["mean"]
    error = FileModel(path)(x) - expected
    assert (error.std(0) < 0.1 * expected.std(0)).all()
