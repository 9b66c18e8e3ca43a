"""Inner activations of a model, out of the same single forward pass.

A layer is named by its path: `stage3`, or `backbone/stage3/conv2` inside a
nested model. The last part of a path suffices where no other layer's path
ends in it. In subclassed models and custom layers the parts of a path are
attributes: `encoder/blocks/0/conv`. A layer that is called several times in a
forward pass is followed by the number of the call, `conv#0`; one with several
outputs by the index or key of the output, `lstm:0`; or both, `lstm#1:0`.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kd_tf.distillation.channel_axes import check_channels_last
from kd_tf.distillation.layer_paths import find_any_layer
from kd_tf.distillation.watching import watch_calls
from kd_tf.models.graph import is_symbolic, named_layers, outputs_by_name

Shape = tuple[int | None, ...]

_CHOICE = re.compile(r"(?P<path>.+?)(#(?P<call>-?\d+))?(:(?P<output>[^:#/]+))?")


@dataclasses.dataclass(frozen=True)
class Forward:
    """Result of one forward pass of a model.

    Attributes:
        outputs: What the model returned: a tensor, or a list or dict of them.
        activations: {path of a tapped layer: its output}; of several teachers
            {index: those of the teacher}.
        training: Whether the model ran in training mode.
    """

    outputs: Any
    activations: dict[Any, Any]
    training: bool = False


@dataclasses.dataclass(frozen=True)
class _Tap:
    path: str  # as it was given
    layer: keras.layers.Layer
    call: int | None = None
    output: str | None = None


class Tapped:
    """Runs a model, and records the outputs of some of its layers.

    Not a Keras layer, on purpose: whoever holds it does not save or train
    the model by that. The layers are watched during a call and left as they
    were after it.

    Args:
        model: `keras.Model` of any kind.
        paths: Names or paths of layers, with a call or an output where there
            are several: as many as one likes, whether a loss needs them or
            not.

    Raises:
        ValueError: if there is no such layer.

    Example:
        tapped = Tapped(model, ["conv", "encoder/blocks/0/attention:1"])
        forward = tapped(x, training=False)
        forward.activations["conv"]
    """

    def __init__(self, model: keras.Model, paths: Sequence[str] = ()) -> None:
        self.model = model
        self._taps = {path: _tap(model, path) for path in paths}

    def __call__(self, x: Any, *, training: bool) -> Forward:
        """Runs the model on a batch.

        Raises:
            ValueError: if a path does not say which of several calls or
                outputs of a layer it means, or the layer was not called where
                its output can be read.
        """
        was_built = self.model.built
        outputs, calls = self.run(x, training=training)
        activations = {
            path: _chosen(self._taps[path], of_layer, was_built=was_built)
            for path, of_layer in calls.items()
        }
        return Forward(outputs, activations, training)

    def run(self, x: Any, *, training: bool) -> tuple[Any, dict[str, Any]]:
        """Returns the model's outputs, and {path: outputs of every call}."""
        layers = [tap.layer for tap in self._taps.values()]
        with watch_calls(layers) as calls:
            outputs = self.model(x, training=training)
        return outputs, {
            path: calls[id(tap.layer)] for path, tap in self._taps.items()
        }

    def check_channels_last(self, shapes: dict[str, Shape]) -> None:
        """Raises ValueError if a tapped grid has its channels first.

        Args:
            shapes: {path: shape of the activation}.
        """
        for path, shape in shapes.items():
            check_channels_last(self._taps[path].layer, path, shape)


def _tap(model: keras.Model, path: str) -> _Tap:
    match = _CHOICE.fullmatch(path)
    if match is None or match["call"] is match["output"] is None:
        return _Tap(path, find_any_layer(model, path))
    call = None if match["call"] is None else int(match["call"])
    layer = find_any_layer(model, match["path"])
    return _Tap(path, layer, call, match["output"])


def _chosen(tap: _Tap, calls: list[Any], *, was_built: bool) -> Any:
    """The tensor that a tap means, of the outputs of all calls."""
    readable = [output for output in calls if _is_readable(output)]
    # A model that builds itself calls its layers in graphs of their own, too.
    if len(readable) < len(calls) and (was_built or not readable):
        raise ValueError(
            f"Layer '{tap.path}' cannot be tapped: it runs inside a loop or a "
            "tf.function of its own, whose tensors end with it. Choose the "
            "layer around it. Received: " + type(tap.layer).__name__
        )
    return _of_output(tap, _of_call(tap, readable))


def _of_call(tap: _Tap, calls: list[Any]) -> Any:
    index = 0 if tap.call is None else tap.call
    is_known = -len(calls) <= index < len(calls)
    if is_known and (tap.call is not None or len(calls) == 1):
        return calls[index]
    bare = tap.path.partition("#")[0]
    remedy = (
        f"Choose a call: '{bare}#0' to '{bare}#{len(calls) - 1}'."
        if calls
        else "Choose a layer that the model calls in this mode."
    )
    raise ValueError(
        f"Layer '{tap.path}' cannot be tapped. {remedy} "
        f"Received: {len(calls)} calls in a forward pass"
    )


def _of_output(tap: _Tap, output: Any) -> Any:
    if tap.output is None and tf.is_tensor(output):
        return output
    names = {
        str(name): part
        for name, part in outputs_by_name(output).items()
        if name is not None and tf.is_tensor(part)
    }
    if tap.output in names:
        return names[tap.output]
    bare = tap.path.partition(":")[0]
    remedy = (
        f"Choose an output: {', '.join(f'{bare}:{name}' for name in names)}."
        if names
        else "Choose a layer that returns tensors, or leave the ':' out."
    )
    raise ValueError(
        f"Layer '{tap.path}' cannot be tapped. {remedy} "
        f"Received: a {type(output).__name__}"
    )


def _is_readable(output: Any) -> bool:
    """Whether an output belongs to where it is read, not to an inner graph."""
    is_eager = tf.executing_eagerly()
    here = None if is_eager else tf.compat.v1.get_default_graph()
    for tensor in keras.tree.flatten(output):
        if isinstance(tensor, keras.KerasTensor):
            return False
        # A concrete tensor has no graph, and can be read everywhere.
        if getattr(tensor, "graph", here) not in (None, here):
            return False
    return True


def activation_shapes(
    model: keras.Model, paths: Sequence[str]
) -> dict[str, Shape]:
    """{path: shape}, batch axis None, without running the model.

    Args:
        model: Functional or sequential `keras.Model`, or any other that was
            called on a batch.
        paths: Paths of layers, as `Tapped` takes them.

    Raises:
        ValueError: if the model's inputs are unknown, or a grid has its
            channels first.
    """
    tapped = Tapped(model, paths)
    shapes = _trace(model, lambda x: tapped(x, training=False).activations)
    tapped.check_channels_last(shapes)
    return shapes


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

    inputs = keras.tree.map_structure(spec, _inputs(model))
    graph = tf.function(function, autograph=False).get_concrete_function(inputs)
    tensors = graph.structured_outputs
    return {path: tuple(tensor.shape) for path, tensor in tensors.items()}


def _inputs(model: keras.Model) -> Any:
    """Tensors like the inputs of a model, nested as it takes them."""
    if not is_symbolic(model):
        return _inputs_of_first_call(model)
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return model.input


def _inputs_of_first_call(model: keras.Model) -> Any:
    # Only a model with a graph knows its inputs from the beginning.
    shapes = (model.get_build_config() or {}).get("input_shape")
    if shapes is None:
        raise ValueError(
            f"The shapes inside model '{model.name}' are not known before it "
            "runs. Call it once on a batch, or use a functional model. "
            f"Received: {type(model).__name__} without a symbolic graph"
        )
    return keras.tree.map_shape_structure(
        lambda shape: keras.KerasTensor(shape, model.input_dtype), shapes
    )


def _is_one_tensor(outputs: list[Any]) -> bool:
    return len(outputs) == 1 and tf.is_tensor(outputs[0])
