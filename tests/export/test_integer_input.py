import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from kd_tf.export.flatbuffer import operator_names
from kd_tf.export.integer_input import make_input_integer

UINT8, FLOAT = schema.TensorType.UINT8, schema.TensorType.FLOAT32
INT8 = schema.TensorType.INT8
CODES = [
    schema.BuiltinOperator.CAST,
    schema.BuiltinOperator.QUANTIZE,
    schema.BuiltinOperator.CONV_2D,
]
CAST, QUANTIZE, CONV_2D = range(3)


def new_model(operators, types):
    """A model of (operator, inputs, outputs), from tensor 0 to the last."""
    graph = schema.SubGraphT(
        tensors=[schema.TensorT(type=t) for t in types],
        inputs=[0],
        outputs=[len(types) - 1],
        operators=[
            schema.OperatorT(opcodeIndex=code, inputs=i, outputs=o)
            for code, i, o in operators
        ],
    )
    signature = schema.SignatureDefT(
        inputs=[schema.TensorMapT(tensorIndex=0)],
        outputs=[schema.TensorMapT(tensorIndex=len(types) - 1)],
    )
    return schema.ModelT(
        subgraphs=[graph],
        operatorCodes=[schema.OperatorCodeT(builtinCode=c) for c in CODES],
        signatureDefs=[signature],
    )


def names(model):
    return operator_names(model, model.subgraphs[0].operators)


def test_cast_and_quantize_become_one_quantize_from_uint8():
    operators = [
        (CAST, [0], [1]),
        (QUANTIZE, [1], [2]),
        (CONV_2D, [2, -1], [3]),
    ]
    model = new_model(operators, [UINT8, FLOAT, INT8, INT8])
    make_input_integer(model)
    graph = model.subgraphs[0]
    assert names(model) == ["QUANTIZE", "CONV_2D"]
    assert [t.type for t in graph.tensors] == [UINT8, INT8, INT8]
    assert graph.tensors[0].quantization.scale == [1.0]
    assert graph.tensors[0].quantization.zeroPoint == [0]
    # Tensors behind the one that is gone move up by one.
    quantize, conv = graph.operators
    assert (quantize.inputs, quantize.outputs) == ([0], [1])
    assert (conv.inputs, conv.outputs) == ([1, -1], [2])
    assert (graph.inputs, graph.outputs) == ([0], [2])
    assert model.signatureDefs[0].outputs[0].tensorIndex == 2


@pytest.mark.parametrize(
    ("operators", "types"),
    [
        ([(QUANTIZE, [0], [1])], [FLOAT, INT8]),
        ([(CAST, [0], [1]), (CONV_2D, [1], [2])], [UINT8, FLOAT, FLOAT]),
        ([(CONV_2D, [0], [1])], [UINT8, FLOAT]),
        (
            # The cast pixels are needed in float, too.
            [(CAST, [0], [1]), (QUANTIZE, [1], [2]), (CONV_2D, [1], [3])],
            [UINT8, FLOAT, INT8, FLOAT],
        ),
    ],
    ids=["float input", "no quantize", "no cast", "two readers"],
)
def test_other_models_are_left_as_they_are(operators, types):
    model = new_model(operators, types)
    before = names(model)
    make_input_integer(model)
    graph = model.subgraphs[0]
    assert names(model) == before
    assert [t.type for t in graph.tensors] == types
    assert [(op.inputs, op.outputs) for op in graph.operators] == [
        (i, o) for _, i, o in operators
    ]
    assert np.all([t.quantization is None for t in graph.tensors])
