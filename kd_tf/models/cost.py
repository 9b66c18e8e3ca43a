"""What one example costs in a model: multiply-accumulates.

Counted are products with kernels, of attention, and of the log-mel front
end; not biases, normalization, pooling and activations, as papers count.
"""

import itertools
import math

import keras
from keras import layers

from kd_tf.models.log_mel import LogMel
from kd_tf.models.position_embedding import PositionEmbedding


def count_macs(model):
    """Multiply-accumulates of one example.

    Args:
        model: Functional or sequential `keras.Model` of fixed input shape;
            nested models are opened, and layers called twice count twice.

    Returns:
        Int.

    Raises:
        ValueError: if the model has no graph to walk, a shape in it is not
            fixed, or a layer with kernels is none of those known here.
    """
    return sum(_count(*call) for call in _calls(model))


def _calls(model):
    """(operation, input shapes, output shape) of every call, batch left out."""
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"Model '{model.name}' has no graph to count in. Allowed: "
            "functional and sequential models, built on their inputs. "
            f"Received: {type(model).__name__}"
        )
    graph = keras.Model(model.inputs, model.outputs)
    for node in itertools.chain.from_iterable(graph._nodes_by_depth.values()):
        if node.is_input:
            continue
        if isinstance(node.operation, keras.Model):
            yield from _calls(node.operation)
            continue
        inputs = [tuple(tensor.shape[1:]) for tensor in node.input_tensors]
        yield node.operation, inputs, tuple(node.output_tensors[0].shape[1:])


def _count(operation, inputs, output):
    count = next(
        (c for kinds, c in _KNOWN.items() if isinstance(operation, kinds)),
        None,
    )
    if count is None:
        _refuse_unknown_products(operation)
        return 0
    if any(None in shape for shape in (*inputs, output)):
        raise ValueError(
            f"'{operation.name}' cannot be counted. Allowed: fixed shapes. "
            f"Received: {inputs[0]} to {output}"
        )
    return count(operation, inputs, output)


def _refuse_unknown_products(operation):
    weights = getattr(operation, "weights", ())
    if (
        any(len(weight.shape) > 1 for weight in weights)
        or type(operation).__name__ in _UNCOUNTED
    ):
        known = sorted(kind.__name__ for kinds in _KNOWN for kind in kinds)
        raise ValueError(
            f"'{operation.name}' cannot be counted. Allowed: "
            f"{', '.join(known)}, and what has no kernel. Received: "
            f"{type(operation).__name__}"
        )


def _convolution(layer, inputs, output):
    return math.prod(output) // layer.filters * _size(layer.kernel)


def _transposed(layer, inputs, output):
    channels = layer.kernel.shape[-1]
    return math.prod(inputs[0]) // channels * _size(layer.kernel)


def _depthwise(layer, inputs, output):
    channels = math.prod(layer.kernel.shape[-2:])
    return math.prod(output) // channels * _size(layer.kernel)


def _separable(layer, inputs, output):
    kernels = _size(layer.depthwise_kernel) + _size(layer.pointwise_kernel)
    return math.prod(output) // layer.filters * kernels


def _dense(layer, inputs, output):
    return math.prod(output) * layer.kernel.shape[0]


def _einsum(layer, inputs, output):
    operands, result = layer.equation.split("->")
    labels = operands.split(",")[1]
    summed = [
        size
        for label, size in zip(labels, layer.kernel.shape, strict=True)
        if label not in result
    ]
    return math.prod(output) * math.prod(summed)


def _recurrent(layer, inputs, output):
    gates = {layers.SimpleRNN: 1, layers.GRU: 3, layers.LSTM: 4}[type(layer)]
    steps, features = inputs[0]
    return steps * gates * layer.units * (features + layer.units)


def _bidirectional(layer, inputs, output):
    return sum(
        _count(one, inputs, output)
        for one in (layer.forward_layer, layer.backward_layer)
    )


def _attention(layer, inputs, output):
    query, value, *rest = inputs
    key = rest[0] if rest else value
    (steps, features), (seen, _) = query, value
    heads, keys, values = layer.num_heads, layer.key_dim, layer.value_dim
    a_head = steps * features * keys + seen * key[1] * keys
    a_head += seen * value[1] * values + steps * seen * (keys + values)
    return heads * (a_head + steps * values * output[-1])


def _log_mel(layer, inputs, output):
    return layer.count_macs(inputs[0][0])


def _nothing(layer, inputs, output):
    return 0


def _size(weight):
    return math.prod(weight.shape)


# The first that fits: kinds of layers, and how to count a call of one.
_KNOWN = {
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
_UNCOUNTED = {
    "AdditiveAttention",
    "Attention",
    "Dot",
    "Einsum",
    "Matmul",
    "Tensordot",
}
