"""Paths of all layers that a model may run, however it was written.

In functional and sequential models parts of a path are names of layers. In
subclassed models and in layers made of layers they are attributes, as in
`encoder/blocks/0/conv` for `model.encoder.blocks[0].conv`; names of layers
are accepted there, too.
"""

import difflib
from collections.abc import Iterator

import keras

from kd_tf.models.graph import is_symbolic, named_layers

_MOST_SHOWN = 12


def find_any_layer(model: keras.Model, path: str) -> keras.layers.Layer:
    """Returns the layer of a path, or of the end of one that is unique.

    Args:
        model: `keras.Model` of any kind.
        path: Path of the layer.

    Raises:
        ValueError: if there is none, more than one, or the model is a
            sequential one without inputs.
    """
    for layers in _by_rank(model):
        if path in layers:
            return layers[path]
        ends = {p: x for p, x in layers.items() if p.endswith(f"/{path}")}
        if len({id(layer) for layer in ends.values()}) == 1:
            return next(iter(ends.values()))
        if ends:
            raise ValueError(
                f"Several layers of '{model.name}' are called '{path}'. "
                f"Allowed: {', '.join(ends)}. Received: '{path}'"
            )
    known = list(layer_paths(model))
    near = difflib.get_close_matches(path, known, n=3, cutoff=0.5)
    shown = near or known
    raise ValueError(
        f"Model '{model.name}' has no layer '{path}'. Allowed: "
        + ", ".join(shown[:_MOST_SHOWN])
        + (", ..." if near or len(known) > _MOST_SHOWN else "")
        + f". Received: '{path}'"
        + _hint_of_state(model)
    )


def layer_paths(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Lists {path: layer}, each layer before what it is made of.

    Args:
        model: `keras.Model` of any kind. Of one that is not built, layers
            that it makes when it is first called are missing.
    """
    return dict(_inside(model, by_attribute=True))


def _by_rank(model: keras.Model) -> Iterator[dict[str, keras.layers.Layer]]:
    # A layer that the model's own graph shows comes before all others.
    if is_symbolic(model) or isinstance(model, keras.Sequential):
        yield named_layers(model)
    yield layer_paths(model)
    yield dict(_inside(model, by_attribute=False))


def _inside(
    layer: keras.layers.Layer,
    *,
    by_attribute: bool,
    around: tuple[int, ...] = (),
) -> Iterator[tuple[str, keras.layers.Layer]]:
    around = (*around, id(layer))
    for name, child in _children(layer, by_attribute=by_attribute):
        yield name, child
        if id(child) in around:
            continue  # a layer that holds one around it
        for path, inner in _inside(
            child, by_attribute=by_attribute, around=around
        ):
            yield f"{name}/{path}", inner


def _children(
    layer: keras.layers.Layer, *, by_attribute: bool
) -> Iterator[tuple[str, keras.layers.Layer]]:
    is_listed = isinstance(layer, keras.Sequential) or (
        isinstance(layer, keras.Model) and is_symbolic(layer)
    )
    inner = (
        layer.layers
        if is_listed
        else layer._flatten_layers(include_self=False, recursive=False)
    )
    tracked = {id(child): child for child in inner}
    if by_attribute and not is_listed:
        for attribute, value in vars(layer).items():
            if attribute == "_layers" or attribute.startswith("_self_"):
                continue  # the bookkeeping of Keras and TensorFlow
            for name, child in _held(attribute.lstrip("_"), value):
                if tracked.pop(id(child), None) is not None:
                    yield name, child
    for child in tracked.values():
        yield child.name, child


def _held(name: str, value: object) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers of an attribute: itself, or in lists and dicts."""
    if isinstance(value, keras.layers.Layer):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from _held(f"{name}/{i}", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _held(f"{name}/{key}", part)


def _hint_of_state(model: keras.Model) -> str:
    if model.built:
        return ""
    return " from a model that is not built: call it on a batch first"
