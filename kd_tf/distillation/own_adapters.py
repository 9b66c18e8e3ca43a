"""Adapters that a user gives for a loss, in place of its own.

Shapes: B examples, C channels; "..." stands for the grid between them.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kd_tf.distillation.taps import Shape

Tensor = Any
MakeAdapter = Callable[[Shape, Shape], keras.layers.Layer]


class NoAdapter(keras.layers.Layer):
    """Hands both activations to the loss as they are."""

    def __init__(self) -> None:
        super().__init__(dtype="float32", autocast=False)
        self.built = True

    def call(
        self, student: Tensor, teacher: Tensor, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Returns the two activations."""
        return student, teacher


class StudentAdapter(keras.layers.Layer):
    """Applies a layer of one input to the student's activation alone.

    Args:
        layer: `keras.layers.Layer`, such as a `keras.layers.Dense` or a
            `keras.Sequential`.
    """

    def __init__(self, layer: keras.layers.Layer) -> None:
        super().__init__(dtype="float32", autocast=False)
        self.layer = layer
        self.built = True

    def call(
        self, student: Tensor, teacher: Tensor, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Returns the student's activation behind the layer, the teacher's."""
        return self.layer(student, training=training), teacher


def check_adapter(adapter: Any) -> None:
    """Raises if something cannot be the `adapter` of a loss.

    Args:
        adapter: What a user gave: see `own_adapters`.

    Raises:
        ValueError: if so.
    """
    some = adapter if isinstance(adapter, (list, tuple)) else [adapter]
    is_known = adapter is None or (isinstance(adapter, str)
                                   and adapter == "none")  # fmt: skip
    if is_known or (some and all(callable(one) for one in some)):
        return
    raise ValueError(
        "`adapter` must be None, 'none', a Keras layer, a list of one for each "
        "pair, or a function of the shapes of student and teacher that makes "
        f"one. Received: adapter={adapter!r}"
    )


def own_adapters(
    adapter: Any, shapes: Sequence[tuple[Shape, Shape]], *, default: MakeAdapter
) -> list[keras.layers.Layer]:
    """Makes the adapters of a loss, one for each layer pair, with weights.

    Args:
        adapter: None for `default`; "none" for activations as they are; a
            Keras layer, where there is one pair; a list of one for each pair;
            or a class or function (student shape, teacher shape) that makes
            one. A layer is called as `layer(student, teacher,
            training=training)` and returns the leading arguments of the loss;
            one with a single input is applied to the student alone.
        shapes: [(student shape, teacher shape)], batch axis first.
        default: Makes the adapter that the loss has of its own.

    Raises:
        ValueError: if there are not as many layers as pairs, or one cannot
            take the activations.
    """
    check_adapter(adapter)
    if adapter is None:
        return [default(*pair) for pair in shapes]
    if isinstance(adapter, str):
        return [NoAdapter() for _ in shapes]
    if isinstance(adapter, (list, tuple, keras.layers.Layer)):
        is_one = isinstance(adapter, keras.layers.Layer)
        given = [adapter] if is_one else list(adapter)
    else:
        given = [adapter(*pair) for pair in shapes]
    if len(given) != len(shapes):
        raise ValueError(
            f"There must be one adapter for each of {len(shapes)} layer pairs. "
            "Give a list of layers, or a function (student shape, teacher "
            f"shape) that makes one. Received: {len(given)}"
        )
    layers = [_adapter(one) for one in given]
    for layer, pair in zip(layers, shapes, strict=True):
        _build(layer, pair)
    return layers


def _adapter(layer: Any) -> keras.layers.Layer:
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(
            "An adapter must be a Keras layer, so that it is trained. "
            f"Received: {layer!r}"
        )
    parameters = inspect.signature(layer.call).parameters.values()
    inputs = [
        p
        for p in parameters
        if p.name not in ("training", "mask")
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        and p.default is p.empty
    ]
    return StudentAdapter(layer) if len(inputs) == 1 else layer


def _build(layer: keras.layers.Layer, shapes: tuple[Shape, Shape]) -> None:
    """Makes its weights, so that they are trained from the first step."""
    try:
        outputs = layer(*map(keras.KerasTensor, shapes), training=False)
    except Exception as error:
        raise ValueError(
            f"The adapter '{layer.name}' does not take these activations as "
            "adapter(student, teacher, training=False). Received: student "
            f"{shapes[0]}, teacher {shapes[1]}: {error}"
        ) from error
    if not isinstance(outputs, (list, tuple)) or len(outputs) < 2:
        raise ValueError(
            f"The adapter '{layer.name}' must return the leading arguments of "
            "the loss, (student, teacher). Received: a "
            f"{type(outputs).__name__}"
        )
