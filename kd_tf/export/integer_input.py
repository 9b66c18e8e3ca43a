"""An int8 file that takes pixels as integers, without a step through float."""

from ai_edge_litert import schema_py_generated as schema

from kd_tf.export.flatbuffer import (
    Graph,
    Model,
    Operator,
    consumers,
    operator_names,
)


def make_input_integer(model: Model) -> None:
    """Replaces CAST to float and QUANTIZE by one QUANTIZE from uint8.

    A pixel is a uint8 number of scale 1 and zero point 0 as it stands, so no
    float is needed. Models whose input is not uint8, or whose input goes any
    other way, are left as they are.

    Args:
        model: From `kd_tf.export.flatbuffer.unpack_model`; changed in place.
    """
    graph = model.subgraphs[0]
    (image,) = graph.inputs
    if graph.tensors[image].type != schema.TensorType.UINT8:
        return
    cast = _only_consumer(model, graph, image, "CAST")
    if cast is None:
        return
    (pixels,) = cast.outputs
    quantize = _only_consumer(model, graph, pixels, "QUANTIZE")
    if quantize is None:
        return
    graph.tensors[image].quantization = schema.QuantizationParametersT(
        scale=[1.0], zeroPoint=[0]
    )
    quantize.inputs = [image]
    graph.operators.remove(cast)
    _remove_tensor(model, pixels)


def _only_consumer(
    model: Model, graph: Graph, tensor: int, name: str
) -> Operator | None:
    """The one operator that reads a tensor, if that is its name."""
    operators = consumers(graph, tensor)
    if operator_names(model, operators) != [name]:
        return None
    return operators[0]


def _remove_tensor(model: Model, index: int) -> None:
    # Tensors are named by their place in the list: all behind move up.
    graph = model.subgraphs[0]
    del graph.tensors[index]

    def moved(i: int) -> int:
        return i - 1 if i > index else i

    graph.inputs = [moved(i) for i in graph.inputs]
    graph.outputs = [moved(i) for i in graph.outputs]
    for operator in graph.operators:
        operator.inputs = [moved(i) for i in operator.inputs]
        operator.outputs = [moved(i) for i in operator.outputs]
    for signature in model.signatureDefs:
        for tensor in (*signature.inputs, *signature.outputs):
            tensor.tensorIndex = moved(tensor.tensorIndex)
