"""Refuses activations whose channels are not along the last axis."""

from typing import Any

import keras

_FREE = (
    # They may have put channels anywhere, as their author knows.
    keras.layers.Permute,
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.InputLayer,
)


def check_channels_last(
    layer: keras.layers.Layer, path: str, shape: tuple[int | None, ...]
) -> None:
    """Raises if a layer returns a grid with channels first.

    A layer that says nothing of channels, such as a ReLU, has them where the
    layers before it put them. Inside layers without a graph only the layer
    itself is asked.

    Args:
        layer: The layer.
        path: How it is called.
        shape: Shape of its output, batch axis first.

    Raises:
        ValueError: if so.
    """
    cause = _channels_first(layer) if len(shape) > 2 else None
    if cause is not None:
        raise ValueError(
            f"Layer '{path}' returns its channels first, as '{cause.name}' "
            "puts them; losses between layers take them last. Build the model "
            "with data_format='channels_last', or pair a keras.layers.Permute "
            f"behind the layer. Received: {path} {shape}"
        )


def _channels_first(
    layer: keras.layers.Layer,
) -> keras.layers.Layer | None:
    """The layer that put channels first, itself or before it, if any did."""
    waiting, seen = [layer], {id(layer)}
    while waiting:
        current = waiting.pop()
        if isinstance(current, _FREE):
            continue
        data_format = getattr(current, "data_format", None)
        if data_format == "channels_first" or _is_norm_of_first(current):
            return current
        if data_format is not None:
            continue
        for before in _before(current):
            if id(before) not in seen:
                seen.add(id(before))
                waiting.append(before)
    return None


def _is_norm_of_first(layer: Any) -> bool:
    is_norm = isinstance(layer, keras.layers.BatchNormalization)
    if not is_norm or layer.axis != 1 or layer.input_spec is None:
        return False
    return (layer.input_spec.ndim or 0) > 2


def _before(layer: keras.layers.Layer) -> list[Any]:
    nodes = [p for node in layer._inbound_nodes for p in node.parent_nodes]
    return [node.operation for node in nodes]
