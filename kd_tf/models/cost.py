"""Multiply-accumulates of one example in a model.

Counted are products with kernels, of attention, and of the log-mel front
end; not biases, normalization, pooling and activations, as papers count.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from kd_tf.models.graph import calls
from kd_tf.models.log_mel import LogMel
from kd_tf.models.position_embedding import PositionEmbedding

Shape = tuple[int, ...]  # of one example: no batch axis
Inputs = Sequence[Shape]


def count_macs(model: keras.Model) -> int:
    """Counts the multiply-accumulates of one example.

    Args:
        model: Functional or sequential `keras.Model` of fixed input shape;
            nested models are opened, and layers called twice count twice.

    Raises:
        ValueError: if the model has no symbolic graph, a shape in it is not
            fixed, or a layer with kernels is none of those known here.
    """
    return sum(
        _count(call.operation, call.input_shapes, call.output_shapes[0])
        for call in calls(model)
    )


def _count(operation: Any, inputs: Any, output: Any) -> int:
    count = next(
        (c for kinds, c in _COUNTED.items() if isinstance(operation, kinds)),
        None,
    )
    if count is None:
        _refuse_products(operation)
        return 0
    if any(None in shape for shape in (*inputs, output)):
        raise ValueError(
            f"'{operation.name}' cannot be counted: all axes of its inputs "
            "and output must have fixed lengths. Build the model on a fixed "
            f"input shape. Received: {inputs[0]} to {output}"
        )
    return count(operation, inputs, output)


def _refuse_products(operation: Any) -> None:
    # Whatever else has a kernel would be missing from the sum unnoticed.
    weights = getattr(operation, "weights", ())
    if (
        any(len(weight.shape) > 1 for weight in weights)
        or type(operation).__name__ in _UNCOUNTED
    ):
        names = sorted(kind.__name__ for kinds in _COUNTED for kind in kinds)
        raise ValueError(
            f"'{operation.name}' cannot be counted. Allowed: "
            f"{', '.join(names)}, and layers without a kernel. Received: "
            f"{type(operation).__name__}"
        )


def _convolution(layer: Any, inputs: Inputs, output: Shape) -> int:
    return math.prod(output) // layer.filters * _size(layer.kernel)


def _transposed(layer: Any, inputs: Inputs, output: Shape) -> int:
    channels = layer.kernel.shape[-1]
    return math.prod(inputs[0]) // channels * _size(layer.kernel)


def _depthwise(layer: Any, inputs: Inputs, output: Shape) -> int:
    channels = math.prod(layer.kernel.shape[-2:])
    return math.prod(output) // channels * _size(layer.kernel)


def _separable(layer: Any, inputs: Inputs, output: Shape) -> int:
    kernels = _size(layer.depthwise_kernel) + _size(layer.pointwise_kernel)
    return math.prod(output) // layer.filters * kernels


def _dense(layer: Any, inputs: Inputs, output: Shape) -> int:
    return math.prod(output) * layer.kernel.shape[0]


def _einsum(layer: Any, inputs: Inputs, output: Shape) -> int:
    operands, result = layer.equation.split("->")
    labels = operands.split(",")[1]
    summed = [
        size
        for label, size in zip(labels, layer.kernel.shape, strict=True)
        if label not in result
    ]
    return math.prod(output) * math.prod(summed)


def _recurrent(layer: Any, inputs: Inputs, output: Shape) -> int:
    gates = {layers.SimpleRNN: 1, layers.GRU: 3, layers.LSTM: 4}[type(layer)]
    steps, features = inputs[0]
    return steps * gates * layer.units * (features + layer.units)


def _bidirectional(layer: Any, inputs: Inputs, output: Shape) -> int:
    return sum(
        _count(one, inputs, output)
        for one in (layer.forward_layer, layer.backward_layer)
    )


def _attention(layer: Any, inputs: Inputs, output: Shape) -> int:
    query, value, *rest = inputs
    key = rest[0] if rest else value
    (queries, features), positions = query, value[0]
    heads, keys, values = layer.num_heads, layer.key_dim, layer.value_dim
    # Query, key and value; then scores and weighted sums; then the output.
    one_head = queries * features * keys + positions * key[1] * keys
    one_head += positions * value[1] * values
    one_head += queries * positions * (keys + values)
    return heads * (one_head + queries * values * output[-1])


def _log_mel(layer: Any, inputs: Inputs, output: Shape) -> int:
    return layer.count_macs(inputs[0][0])


def _nothing(layer: Any, inputs: Inputs, output: Shape) -> int:
    return 0


def _size(weight: Any) -> int:
    return math.prod(weight.shape)


# {layers: how to count a call of one}; the first that fits is taken, so a
# subclass stands before its base.
_COUNTED = {
    (layers.Conv1DTranspose, layers.Conv2DTranspose): _transposed,
    (layers.SeparableConv1D, layers.SeparableConv2D): _separable,
    (layers.DepthwiseConv1D, layers.DepthwiseConv2D): _depthwise,
    (layers.Conv1D, layers.Conv2D, layers.Conv3D): _convolution,
    (layers.Dense,): _dense,
    (layers.EinsumDense,): _einsum,
    (layers.SimpleRNN, layers.GRU, layers.LSTM): _recurrent,
    (layers.Bidirectional,): _bidirectional,
    (layers.MultiHeadAttention,): _attention,
    (LogMel,): _log_mel,
    (layers.Embedding, layers.LayerNormalization, PositionEmbedding): _nothing,
}
# Products without a kernel of their own.
_UNCOUNTED = {
    "AdditiveAttention",
    "Attention",
    "Dot",
    "Einsum",
    "Matmul",
    "Tensordot",
}
