"""Inner activations of a model, out of the same single forward pass.

A layer is named by its path: `stage3`, or `backbone/stage3/conv2` inside a
nested model. The last part alone will do where no other layer ends in it.
"""

import contextlib
import dataclasses
import difflib
import threading
from typing import Any

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Forward:
    """What one forward pass of a model gave.

    Attributes:
        answers: What the model returned: a tensor, or a list or dict of them.
        activations: {path of a tapped layer: its output}.
        training: Whether the model ran in training mode.
    """

    answers: Any
    activations: dict[str, Any]
    training: bool = False


class Tapped:
    """Runs a model, and sees the outputs of some of its layers on the way.

    Not a Keras layer, on purpose: whoever holds it does not save or train
    the model by that. The layers are watched during a call and left as they
    were after it.

    Args:
        model: `keras.Model`; functional or sequential if it has `paths`.
        paths: Names or paths of layers.

    Raises:
        ValueError: if the model has no symbolic graph, or no such layer.
    """

    def __init__(self, model, paths=()):
        self.model = model
        self._layers = {path: find_layer(model, path) for path in paths}

    def __call__(self, x, training):
        answers, outputs = self.run(x, training)
        for path, found in outputs.items():
            if not _is_one_tensor(found):
                raise ValueError(
                    f"Layer '{path}' cannot be tapped. Allowed: a layer "
                    "called once in a forward pass, with one tensor as "
                    f"output. Received: {len(found)} calls"
                    + "".join(f", a {type(o).__name__}" for o in found[:1])
                )
        activations = {path: found[0] for path, found in outputs.items()}
        return Forward(answers, activations, training)

    def run(self, x, training):
        """Returns the answers, and {path: outputs of every call}."""
        with _watching(self._layers.values()) as outputs:
            answers = self.model(x, training=training)
        return answers, {
            path: outputs[id(layer)] for path, layer in self._layers.items()
        }


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


def activation_shapes(model, paths):
    """{path: shape}, batch axis None, without running the model."""
    tapped = Tapped(model, paths)
    return _trace(model, lambda x: tapped(x, training=False).activations)


def all_activation_shapes(model, assumed_length):
    """{path: shape} of every layer that can be tapped, in order.

    Args:
        model: Functional or sequential `keras.Model`.
        assumed_length: Length of those axes of the input that may vary.
    """
    tapped = Tapped(model, named_layers(model))

    def tappable(x):
        _, outputs = tapped.run(x, training=False)
        return {
            path: found[0]
            for path, found in outputs.items()
            if _is_one_tensor(found)
        }

    return _trace(model, tappable, assumed_length)


def _trace(model, function, assumed_length=None):
    """Shapes of the tensors that a function of the model's inputs returns."""

    def spec(tensor):
        grid = [assumed_length if n is None else n for n in tensor.shape[1:]]
        return tf.TensorSpec((None, *grid), tensor.dtype)

    inputs = tf.nest.map_structure(spec, _inputs(model))
    graph = tf.function(function, autograph=False).get_concrete_function(inputs)
    tensors = graph.structured_outputs
    return {path: tuple(tensor.shape) for path, tensor in tensors.items()}


def _inputs(model):
    """The symbolic inputs of a model, nested as it takes them."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return model.input


def _is_one_tensor(outputs):
    return len(outputs) == 1 and tf.is_tensor(outputs[0])


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


_lock = threading.Lock()
_hooked = {}  # {id of a layer: [number of those who watch it, its own call]}
_seen = threading.local()


@contextlib.contextmanager
def _watching(layers):
    """Gives {id of a layer: outputs of its calls in this thread}."""
    # Threads may share a layer, as replicas of a distribution strategy and
    # distillers with one teacher do: the first one in hooks it, the last one
    # out unhooks it.
    layers = {id(layer): layer for layer in layers}
    outputs = {key: [] for key in layers}
    with _lock:
        for layer in layers.values():
            _hook(layer)
    former = getattr(_seen, "by_watcher", ())
    _seen.by_watcher = (*former, outputs)
    try:
        yield outputs
    finally:
        _seen.by_watcher = former
        with _lock:
            for layer in layers.values():
                _unhook(layer)


def _hook(layer):
    attributes = vars(layer)
    hooked = _hooked.setdefault(id(layer), [0, attributes.get("call")])
    hooked[0] += 1
    if hooked[0] > 1:
        return
    call = layer.call

    def watched(*args, **kwargs):
        output = call(*args, **kwargs)
        for outputs in getattr(_seen, "by_watcher", ()):
            if id(layer) in outputs:
                outputs[id(layer)].append(output)
        return output

    # Past Keras's own bookkeeping of attributes, which nothing here concerns.
    attributes["call"] = watched


def _unhook(layer):
    hooked = _hooked[id(layer)]
    hooked[0] -= 1
    if hooked[0] > 0:
        return
    _, own_call = _hooked.pop(id(layer))
    if own_call is None:
        del vars(layer)["call"]
    else:
        vars(layer)["call"] = own_call
