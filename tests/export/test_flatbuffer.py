import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kd_tf import FileModel, quantize_tflite
from kd_tf.export.flatbuffer import (
    count_operators,
    operator_name,
    pack_model,
    unpack_model,
)
from kd_tf.results import QuantizationRecord
from tests.export.conftest import IMAGES, convert


def operator(code, inputs, outputs):
    return schema.OperatorT(opcodeIndex=code, inputs=inputs, outputs=outputs)


def hand_made_model():
    """CONV_2D int8, then DEQUANTIZE to float, whose last input is absent."""
    builtin = schema.BuiltinOperator
    types = [schema.TensorType.INT8, schema.TensorType.INT8]
    types.append(schema.TensorType.FLOAT32)
    graph = schema.SubGraphT(
        tensors=[schema.TensorT(type=t) for t in types],
        operators=[operator(0, [0, -1], [1]), operator(1, [1], [2])],
    )
    codes = [builtin.CONV_2D, builtin.DEQUANTIZE]
    return schema.ModelT(
        subgraphs=[graph],
        operatorCodes=[schema.OperatorCodeT(builtinCode=c) for c in codes],
    )


def test_operators_are_counted_by_name_and_by_type():
    model = hand_made_model()
    operators = model.subgraphs[0].operators
    assert [operator_name(model, op) for op in operators] == [
        "CONV_2D",
        "DEQUANTIZE",
    ]
    # An absent input, -1, must not be taken for the last tensor, a float.
    assert count_operators(model) == QuantizationRecord(
        operators={"CONV_2D": 1, "DEQUANTIZE": 1}, in_float={"DEQUANTIZE": 1}
    )


def test_a_file_that_is_unpacked_and_packed_computes_the_same(
    exported, tmp_path
):
    path = tmp_path / "again.tflite"
    path.write_bytes(pack_model(unpack_model(exported[1].read_bytes())))
    np.testing.assert_array_equal(
        FileModel(path)(IMAGES), FileModel(exported[1])(IMAGES)
    )


def test_constants_behind_the_model_are_kept(tmp_path):
    # From 256 KiB on, the quantizer writes them there.
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 8, 1))
    y = keras.layers.Dense(4600)(keras.layers.Flatten()(x))
    model = keras.Model(x, keras.layers.Dense(3)(y))
    model.save(tmp_path / "big.keras")
    convert(tmp_path / "big.keras", tmp_path / "big.tflite")
    path = tmp_path / "int8.tflite"
    quantize_tflite(
        tmp_path / "big.tflite", path, recipe="int8", examples=IMAGES
    )
    expected = FileModel(tmp_path / "big.tflite")(IMAGES)
    error = FileModel(path)(IMAGES) - expected
    assert np.mean(error**2) / np.var(expected) < 5e-3
