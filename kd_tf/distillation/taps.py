"""Inner activations of a model, out of the same single forward pass.

A layer is named by its path: `stage3`, or `backbone/stage3/conv2` inside a
nested model. The last part alone will do where no other layer ends in it.
"""

import contextlib
import dataclasses
import threading
from typing import Any

import keras
import tensorflow as tf

from kd_tf.models.graph import find_layer, named_layers


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
