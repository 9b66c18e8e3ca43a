"""Inner activations of a model, out of the same single forward pass.

A layer is named by its path: `stage3`, or `backbone/stage3/conv2` inside a
nested model. The last part of a path suffices where no other layer's path
ends in it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kd_tf.distillation.watching import watch_calls
from kd_tf.models.graph import find_layer, named_layers

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Forward:
    """Result of one forward pass of a model.

    Attributes:
        outputs: What the model returned: a tensor, or a list or dict of them.
        activations: {path of a tapped layer: its output}.
        training: Whether the model ran in training mode.
    """

    outputs: Any
    activations: dict[str, Any]
    training: bool = False


class Tapped:
    """Runs a model, and records the outputs of some of its layers.

    Not a Keras layer, on purpose: whoever holds it does not save or train
    the model by that. The layers are watched during a call and left as they
    were after it.

    Args:
        model: `keras.Model`; functional or sequential if it has `paths`.
        paths: Names or paths of layers.

    Raises:
        ValueError: if the model has no symbolic graph, or no such layer.
    """

    def __init__(self, model: keras.Model, paths: Sequence[str] = ()) -> None:
        self.model = model
        self._layers = {path: find_layer(model, path) for path in paths}

    def __call__(self, x: Any, *, training: bool) -> Forward:
        """Runs the model on a batch.

        Raises:
            ValueError: if a layer was not called exactly once, or gave more
                than one tensor.
        """
        outputs, calls = self.run(x, training=training)
        for path, activations in calls.items():
            if not _is_one_tensor(activations):
                raise ValueError(
                    f"Layer '{path}' cannot be tapped. Choose a layer called "
                    "once in a forward pass, with one tensor as output. "
                    f"Received: {len(activations)} calls"
                    + "".join(
                        f", a {type(a).__name__}" for a in activations[:1]
                    )
                )
        activations = {path: outputs[0] for path, outputs in calls.items()}
        return Forward(outputs, activations, training)

    def run(self, x: Any, *, training: bool) -> tuple[Any, dict[str, Any]]:
        """Returns the model's outputs, and {path: outputs of every call}."""
        with watch_calls(self._layers.values()) as calls:
            outputs = self.model(x, training=training)
        return outputs, {
            path: calls[id(layer)] for path, layer in self._layers.items()
        }


def activation_shapes(
    model: keras.Model, paths: Sequence[str]
) -> dict[str, Shape]:
    """{path: shape}, batch axis None, without running the model."""
    tapped = Tapped(model, paths)
    return _trace(model, lambda x: tapped(x, training=False).activations)


def all_activation_shapes(
    model: keras.Model, assumed_length: int
) -> dict[str, Shape]:
    """{path: shape} of every layer that can be tapped, in order.

    Args:
        model: Functional or sequential `keras.Model`.
        assumed_length: Length of those axes of the input that may vary.
    """
    tapped = Tapped(model, list(named_layers(model)))

    def activations(x: Any) -> dict[str, Any]:
        _, calls = tapped.run(x, training=False)
        return {
            path: outputs[0]
            for path, outputs in calls.items()
            if _is_one_tensor(outputs)
        }

    return _trace(model, activations, assumed_length)


def _trace(
    model: keras.Model,
    function: Callable[[Any], dict[str, Any]],
    assumed_length: int | None = None,
) -> dict[str, Shape]:
    """Shapes of the tensors that a function of the model's inputs returns."""

    def spec(tensor: Any) -> tf.TensorSpec:
        grid = [assumed_length if n is None else n for n in tensor.shape[1:]]
        return tf.TensorSpec((None, *grid), tensor.dtype)

    inputs = tf.nest.map_structure(spec, _inputs(model))
    graph = tf.function(function, autograph=False).get_concrete_function(inputs)
    tensors = graph.structured_outputs
    return {path: tuple(tensor.shape) for path, tensor in tensors.items()}


def _inputs(model: keras.Model) -> Any:
    """The symbolic inputs of a model, nested as it takes them."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return model.input


def _is_one_tensor(outputs: list[Any]) -> bool:
    return len(outputs) == 1 and tf.is_tensor(outputs[0])
