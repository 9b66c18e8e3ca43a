"""`.tflite` files as objects that can be inspected and changed.

A file is a flatbuffer with the schema of LiteRT. Files of this package have
one graph, the first of the model's subgraphs.
"""

import collections
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from kd_tf.results import QuantizationRecord

Model = Any  # schema.ModelT
Graph = Any  # schema.SubGraphT
Operator = Any  # schema.OperatorT

_OPERATOR_NAMES = {
    code: name
    for name, code in vars(schema.BuiltinOperator).items()
    if isinstance(code, int)
}


def unpack_model(flatbuffer: bytes) -> Model:
    """Reads the content of a `.tflite` file.

    Args:
        flatbuffer: Content of the file.

    Returns:
        `schema.ModelT`, with all constants inside its buffers.
    """
    model = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    for buffer in model.buffers:
        # From 256 KiB on, the quantizer writes constants behind the model.
        if buffer.offset:
            buffer.data = np.frombuffer(
                flatbuffer, "uint8", buffer.size, buffer.offset
            )
            buffer.offset = buffer.size = 0
    return model


def pack_model(model: Model) -> bytes:
    """The content of a `.tflite` file, from what `unpack_model` returned."""
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def operator_name(model: Model, operator: Operator) -> str:
    """Name of a builtin operator, such as "CONV_2D"."""
    return _OPERATOR_NAMES[
        model.operatorCodes[operator.opcodeIndex].builtinCode
    ]


def operator_names(model: Model, operators: Sequence[Operator]) -> list[str]:
    """Names of several operators, in their order."""
    return [operator_name(model, operator) for operator in operators]


def consumers(graph: Graph, tensor: int) -> list[Operator]:
    """The operators that read a tensor.

    Args:
        graph: A subgraph.
        tensor: Index of the tensor in `graph.tensors`.
    """
    return [op for op in graph.operators if tensor in op.inputs]


def count_operators(model: Model) -> QuantizationRecord:
    """Counts the operators of a model, and those that compute in float.

    Args:
        model: From `unpack_model`.

    Returns:
        `QuantizationRecord`; an operator with a float32 input or output
        counts as one in float.
    """
    graph = model.subgraphs[0]
    in_float: collections.Counter[str] = collections.Counter()
    operators: collections.Counter[str] = collections.Counter()
    for operator in graph.operators:
        name = operator_name(model, operator)
        operators[name] += 1
        # An index of -1 stands for an optional input that is not there.
        tensors = [i for i in (*operator.inputs, *operator.outputs) if i >= 0]
        types = {graph.tensors[i].type for i in tensors}
        in_float[name] += schema.TensorType.FLOAT32 in types
    return QuantizationRecord(dict(operators), dict(+in_float))
