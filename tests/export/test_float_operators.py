import numpy as np

from kd_tf import FileModel, build_model, convert_to_tflite, quantize_tflite
from kd_tf.data.sources.source import ArraySpec
from kd_tf.export.float_operators import float_recipe
from kd_tf.results import Moments
from tests.export.conftest import COLUMNS, keras_values


def test_a_model_of_images_has_nothing_to_leave_in_float(exported):
    assert float_recipe(exported[1].read_bytes()) == []


def test_each_column_keeps_a_scale_of_its_own(exported_regression, tmp_path):
    model, file = exported_regression
    path = tmp_path / "int8.tflite"
    record = quantize_tflite(file, path, recipe="int8", examples=COLUMNS)
    assert "FULLY_CONNECTED" not in record.in_float
    expected = keras_values(model)
    error = np.abs(FileModel(path)(COLUMNS) - expected).max(axis=0)
    assert (error < 0.05 * np.ptp(expected, axis=0)).all()


def test_values_of_other_units_keep_their_digits_in_int8(tmp_path):
    # In one scale, the second would have the steps of the first.
    model = build_model("mlp", (4,), 2, hidden=[8], dropout=0.0)
    model.save(tmp_path / "model.keras")
    moments = Moments(mean=[100.0, -3.0], std=[20.0, 0.01])
    convert_to_tflite(
        tmp_path / "model.keras",
        tmp_path / "model.tflite",
        example=ArraySpec((4,), "float32"),
        mean=0.0,
        std=1.0,
        target_moments=moments,
        time_limit_s=120,
    )
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    path = tmp_path / "int8.tflite"
    record = quantize_tflite(
        tmp_path / "model.tflite", path, recipe="int8", examples=x
    )
    assert "FULLY_CONNECTED" not in record.in_float
    expected = model.predict(x, verbose=0) * moments.std + moments.mean
    error = FileModel(path)(x) - expected
    assert (error.std(0) < 0.1 * expected.std(0)).all()
