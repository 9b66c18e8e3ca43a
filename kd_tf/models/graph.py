"""Layers, calls and outputs of a Keras model, with nested models opened.

A path is the name of a layer, after the names of the nested models around
it: `stage3`, or `backbone/stage3/conv2`.
"""

import dataclasses
import difflib
import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import keras

Tensor = Any
Shape = tuple[int | None, ...]  # without the batch axis


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of an operation in the graph of a model.

    Attributes:
        path: Path of the operation; the same for every call of it.
        operation: Layer or operation of Keras.
        input_shapes: Shapes of its input tensors, without the batch axis.
        output_shapes: Shapes of its output tensors, without the batch axis.
    """

    path: str
    operation: keras.Operation
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]


def calls(model: keras.Model) -> Iterator[Call]:
    """Yields every call of an operation, from the inputs to the outputs.

    Calls by other models that share its layers are left out. In place of a
    nested model come the calls inside, once for each time it is called.

    Args:
        model: Functional or sequential `keras.Model`.

    Raises:
        ValueError: if the model, or one nested in it, has no symbolic graph.
    """
    _check_symbolic(model)
    # The model itself also knows the calls that other models make.
    graph = keras.Function(model.inputs, model.outputs)
    by_depth = sorted(graph._nodes_by_depth.items(), reverse=True)
    for node in itertools.chain.from_iterable(nodes for _, nodes in by_depth):
        operation = node.operation
        if node.is_input:
            continue
        if isinstance(operation, keras.Model):
            for call in calls(operation):
                path = f"{operation.name}/{call.path}"
                yield dataclasses.replace(call, path=path)
        else:
            yield Call(
                operation.name,
                operation,
                _shapes(node.input_tensors),
                _shapes(node.output_tensors),
            )


def _shapes(tensors: Sequence[Tensor]) -> tuple[Shape, ...]:
    return tuple(tuple(tensor.shape[1:]) for tensor in tensors)


def layers_with_weights(model: keras.Model) -> list[keras.Layer]:
    """Lists the innermost layers that own weights, each once.

    Nested models and wrappers are opened. Subclassed models are walked too:
    the layers that Keras tracks are read, not a graph.
    """
    layers = [
        layer
        for layer in _inner_layers(model)
        if layer.weights and not any(x.weights for x in _inner_layers(layer))
    ]
    return list(dict.fromkeys(layers))


def _inner_layers(layer: keras.Layer) -> Iterator[keras.Layer]:
    return layer._flatten_layers(include_self=False)


def named_layers(model: keras.Model) -> dict[str, keras.Layer]:
    """Returns {path: layer}, nested models and what is in them, in order.

    Raises:
        ValueError: if the model has no symbolic graph.
    """
    _check_symbolic(model)
    layers = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model) and is_symbolic(layer):
            inner = named_layers(layer)
            layers.update({f"{layer.name}/{p}": x for p, x in inner.items()})
        layers[layer.name] = layer
    return layers


def find_layer(model: keras.Model, path: str) -> keras.Layer:
    """Returns the layer of a path, or of the end of one that is unique.

    Raises:
        ValueError: if there is none, more than one, or no symbolic graph.
    """
    layers = named_layers(model)
    if path in layers:
        return layers[path]
    matching = [p for p in layers if p.endswith(f"/{path}")]
    if len(matching) == 1:
        return layers[matching[0]]
    if matching:
        raise ValueError(
            f"Several layers of '{model.name}' are called '{path}'. Allowed: "
            f"{', '.join(matching)}. Received: '{path}'"
        )
    near = difflib.get_close_matches(path, layers, n=3, cutoff=0.5)
    raise ValueError(
        f"Model '{model.name}' has no layer '{path}'. Allowed: "
        + (", ".join(near) + ", ..." if near else ", ".join(layers))
        + f". Received: '{path}'"
    )


def output_operations(
    model: keras.Model,
) -> dict[Hashable, list[keras.Operation]]:
    """Returns the operations that compute each output of a model.

    Returns:
        {name or index of the output, None for an only one: operations}. The
        list goes from the outermost nested model inwards, and past layers
        that pass values on, to the operation that computes them. Empty for a
        model without a symbolic graph.
    """
    if not is_symbolic(model):
        return {}
    is_sequential = isinstance(model, keras.Sequential)
    outputs = model.outputs[0] if is_sequential else model.output
    return {
        name: _computed_by(tensor)
        for name, tensor in outputs_by_name(outputs).items()
    }


def _computed_by(tensor: Tensor) -> list[keras.Operation]:
    history = tensor._keras_history
    operation = history.operation
    if isinstance(operation, keras.Model) and is_symbolic(operation):
        inner = operation.outputs[history.tensor_index]
        return [operation, *_computed_by(inner)]
    if _passes_values_on(operation):
        return [operation, *_computed_by(operation.input)]
    return [operation]


def _passes_values_on(operation: keras.Operation) -> bool:
    if isinstance(operation, keras.layers.Activation):
        # A linear one only casts, as mixed precision needs at the end.
        return operation.activation is keras.activations.linear
    return isinstance(
        operation,
        (keras.layers.Dropout, keras.layers.Flatten, keras.layers.Reshape),
    )


def outputs_by_name(outputs: Any) -> dict[Hashable, Any]:
    """Returns {name or index: tensor} of several outputs, {None: it} of one."""
    if isinstance(outputs, dict):
        return dict(outputs)
    if isinstance(outputs, (list, tuple)):
        return dict(enumerate(outputs))
    return {None: outputs}


def output_key(model: keras.Model, name: Hashable) -> Hashable:
    """Returns the key of an output in `outputs_by_name`.

    Args:
        model: `keras.Model`.
        name: The key itself, or, where a model returns a list, the name of
            the layer that computes one of its outputs.

    Raises:
        ValueError: if the model is known to have no such output.
    """
    names = getattr(model, "output_names", [])
    if name in names and isinstance(model.output, (list, tuple)):
        return names.index(name)
    keys = list(output_operations(model))
    if name is not None and keys and name not in keys:
        raise ValueError(
            f"Model '{model.name}' has no output {name!r}. Allowed: "
            f"{', '.join(map(repr, keys))}. Received: {name!r}"
        )
    return name


def is_symbolic(model: keras.Model) -> bool:
    """Whether a model has a graph to read: functional, or sequential and built.

    A subclassed model has none; what it calls is known when it runs.
    """
    return bool(getattr(model, "inputs", None))


def _check_symbolic(model: keras.Model) -> None:
    if not is_symbolic(model):
        raise ValueError(
            f"Model '{model.name}' has no symbolic graph. Layers inside a "
            "model can be read from functional and sequential models, built "
            f"on their inputs. Received: {type(model).__name__} without a "
            "symbolic graph"
        )
