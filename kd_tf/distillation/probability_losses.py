"""Keras losses that expect probabilities, where models output logits.

Such a loss takes logits without a word, and computes something else. As a
distillation loss it also takes its arguments in the other order.
"""

import functools
import inspect
from collections.abc import Hashable, Iterator
from typing import Any

import keras

from kd_tf.models.graph import output_operations

_CLASSES = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.Dice,
    keras.losses.KLDivergence,
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.Tversky,
)
_FUNCTIONS = (
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.dice,
    keras.losses.kl_divergence,
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.tversky,
)


def refuse_probability_loss(loss: Any) -> None:
    """Raises if a distillation loss is a loss of Keras on probabilities.

    Args:
        loss: What a `LossTerm` was given, or the function of that name.

    Raises:
        ValueError: if so.
    """
    if _is_of_keras(loss):
        raise ValueError(
            "Losses of Keras on probabilities take labels first and apply no "
            "softmax: between the logits of student and teacher they compute "
            "something else. Use 'soft_targets', or 'sigmoid_targets' where "
            f"classes do not exclude each other. Received: {_name(loss)}"
        )


def refuse_label_losses(loss: Any, student: keras.Model) -> None:
    """Raises if a label loss expects probabilities, and gets logits.

    Args:
        loss: What `compile` was given: None, or a loss by name, a function,
            a `keras.losses.Loss`, or a list or dict of these.
        student: `keras.Model`. An output that is seen to be probabilities may
            have such a loss.

    Raises:
        ValueError: if so.
    """
    activations = _last_activations(student)
    for path, single in _leaves(loss):
        outputs = _outputs_of(path, student, activations)
        if _is_on_probabilities(single) and not all(
            activations.get(name) in ("sigmoid", "softmax") for name in outputs
        ):
            raise ValueError(_message(single, path))


def _message(loss: Any, path: tuple[Any, ...]) -> str:
    found = keras.losses.get(loss)
    which = f" for output {path[0]!r}" if path else ""
    remedy = (
        "Apply softmax or sigmoid in a loss of your own: lambda y, logits: "
        f"{_name(found)}(y, keras.ops.softmax(logits))"
    )
    if _takes_logits(found) is not None:
        name = getattr(found, "__name__", type(found).__name__)
        camel = "".join(word.capitalize() for word in name.split("_"))
        name = camel if "_" in name else name
        remedy = f"Set from_logits=True: keras.losses.{name}(from_logits=True)"
    return (
        f"The student outputs logits{which}, but `loss` expects "
        f"probabilities. {remedy}. Received: loss={_name(loss)}"
    )


def _leaves(loss: Any, path: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Yields (path, single loss) of losses nested by outputs."""
    if isinstance(loss, dict):
        nested = list(loss.items())
    elif isinstance(loss, (list, tuple)):
        nested = list(enumerate(loss))
    else:
        yield path, loss
        return
    for key, inner in nested:
        yield from _leaves(inner, (*path, key))


def _outputs_of(
    path: tuple[Any, ...],
    student: keras.Model,
    activations: dict[Hashable, str],
) -> list[Hashable]:
    """Keys of the outputs that a loss concerns."""
    names = list(getattr(student, "output_names", []))
    key = path[0] if path else None
    if key in activations:
        return [key]
    if key in names and len(names) == len(activations):
        return [list(activations)[names.index(key)]]
    return list(activations) or [None]


def _is_on_probabilities(loss: Any) -> bool:
    if isinstance(loss, str):
        # Keras itself reports a name that it does not know.
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return False
    takes_logits = _takes_logits(loss)
    return _is_of_keras(loss) if takes_logits is None else not takes_logits


def _takes_logits(loss: Any) -> bool | None:
    """What a loss has for `from_logits`; None if it has no such option."""
    if isinstance(loss, keras.losses.Loss):
        return getattr(loss, "from_logits", None)
    if not callable(loss):
        return None
    try:
        parameters = inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return None
    if "from_logits" not in parameters:
        return None
    default = parameters["from_logits"].default
    return default if isinstance(default, bool) else None


def _is_of_keras(loss: Any) -> bool:
    while isinstance(loss, functools.partial):
        loss = loss.func
    return isinstance(loss, _CLASSES) or any(loss is f for f in _FUNCTIONS)


def _last_activations(model: keras.Model) -> dict[Hashable, str]:
    """{output: what it ends in}, as far as the graph shows it."""
    activations = {}
    for key, operations in output_operations(model).items():
        function = getattr(operations[-1], "activation", None)
        name = getattr(function, "__name__", type(operations[-1]).__name__)
        activations[key] = name.lower()
    return activations


def _name(loss: Any) -> str:
    if isinstance(loss, functools.partial):
        return _name(loss.func)
    if isinstance(loss, keras.losses.Loss):
        return f"keras.losses.{type(loss).__name__}()"
    if callable(loss):
        return f"keras.losses.{getattr(loss, '__name__', loss)}"
    return repr(loss)
