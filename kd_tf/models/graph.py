"""Layers and outputs of a model, nested models opened."""

import difflib

import keras


def named_layers(model):
    """{path: layer} of a symbolic model, nested ones included, in order."""
    if not is_symbolic(model):
        raise ValueError(
            f"Model '{model.name}' has no layers to tap. Allowed: functional "
            "and sequential models, built on their inputs; a subclassed model "
            "can be distilled on its answers. Received: "
            f"{type(model).__name__} without a symbolic graph"
        )
    layers = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model) and is_symbolic(layer):
            inner = named_layers(layer)
            layers.update({f"{layer.name}/{p}": x for p, x in inner.items()})
        layers[layer.name] = layer
    return layers


def find_layer(model, path):
    """The layer of a path, or of the end of one that no other shares.

    Raises:
        ValueError: if there is none, or more than one.
    """
    layers = named_layers(model)
    if path in layers:
        return layers[path]
    found = [p for p in layers if p.endswith(f"/{path}")]
    if len(found) == 1:
        return layers[found[0]]
    if found:
        raise ValueError(
            f"Several layers of '{model.name}' are called '{path}'. Allowed: "
            f"{', '.join(found)}. Received: '{path}'"
        )
    near = difflib.get_close_matches(path, layers, n=3, cutoff=0.5)
    raise ValueError(
        f"Model '{model.name}' has no layer '{path}'. Allowed: "
        + (", ".join(near) + ", ..." if near else ", ".join(layers))
        + f". Received: '{path}'"
    )


def answering_operations(model):
    """What computes each answer of a symbolic model.

    Returns:
        {name or index of the answer, None for an only one: layers or
        operations of Keras, from the outermost model inwards}.
    """
    if not is_symbolic(model):
        return {}
    is_sequential = isinstance(model, keras.Sequential)
    answers = model.outputs[0] if is_sequential else model.output
    return {
        name: _computed_by(tensor) for name, tensor in parts(answers).items()
    }


def _computed_by(tensor):
    history = tensor._keras_history
    operation = history.operation
    if isinstance(operation, keras.Model) and is_symbolic(operation):
        inner = operation.outputs[history.tensor_index]
        return [operation, *_computed_by(inner)]
    if _computes_nothing(operation):
        return [operation, *_computed_by(operation.input)]
    return [operation]


def _computes_nothing(operation):
    if isinstance(operation, keras.layers.Activation):
        # Only casts, as mixed precision wants at the end.
        return operation.activation is keras.activations.linear
    return isinstance(operation, _ONLY_SHAPE)


_ONLY_SHAPE = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Reshape,
)


def parts(nested):
    """{name or index: tensor} of several answers, {None: it} of one."""
    if isinstance(nested, dict):
        return dict(nested)
    if isinstance(nested, (list, tuple)):
        return dict(enumerate(nested))
    return {None: nested}


def answer_key(model, name):
    """Key of an answer: where a model answers a list, its layer's index.

    Raises:
        ValueError: if the model is seen to have no such answer.
    """
    names = getattr(model, "output_names", [])
    if name in names and isinstance(model.output, (list, tuple)):
        return names.index(name)
    known = list(answering_operations(model))
    if name is not None and known and name not in known:
        raise ValueError(
            f"Model '{model.name}' has no answer {name!r}. Allowed: "
            f"{', '.join(map(repr, known))}. Received: {name!r}"
        )
    return name


def is_symbolic(model):
    return bool(getattr(model, "inputs", None))
