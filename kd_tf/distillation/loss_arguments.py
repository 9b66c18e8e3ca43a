"""Checks the arguments of a loss by the annotations of its signature."""

import inspect
import numbers
from collections.abc import Mapping
from typing import Any

import keras
from pydantic import ConfigDict, TypeAdapter, ValidationError

from kd_tf.distillation.loss_table import LossSpec

_BY_POSITION = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
_SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def read_parameters(
    function: Any, *, loss: str = "custom"
) -> dict[str, inspect.Parameter]:
    """{name: parameter} of a loss, without its two tensors.

    Args:
        function: Function of two tensors and further arguments, or a Keras
            layer that is called with them. Unlike `LossSpec.arguments` this
            works for functions without a name, too.
        loss: Name of the loss, for the message.

    Raises:
        ValueError: if it does not take two tensors.
    """
    is_layer = isinstance(function, keras.layers.Layer)
    signature = inspect.signature(function.call if is_layer else function)
    parameters = list(signature.parameters.values())
    tensors = [
        p
        for p in parameters[:2]
        if p.kind in _BY_POSITION and p.name not in LossSpec.supplied
    ]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(tensors) < 2 and not takes_any:
        raise ValueError(
            f"Loss '{loss}' must take two tensors, (student, teacher, ...). "
            f"Received: {signature}"
        )
    return {p.name: p for p in parameters[2:] if p.kind not in _SEVERAL}


def check_arguments(
    loss: str,
    arguments: Mapping[str, Any],
    parameters: Mapping[str, inspect.Parameter],
) -> None:
    """Raises if a loss has no such argument, lacks one, or it is out of range.

    Args:
        loss: Name of the loss, for the message.
        arguments: {name: value}; values may be schedules.
        parameters: What `read_parameters` returned.

    Raises:
        ValueError: if so.
    """
    allowed = [name for name in parameters if name not in LossSpec.supplied]
    for name, value in arguments.items():
        if name not in allowed:
            raise ValueError(
                f"Loss '{loss}' has no argument '{name}'. Allowed: "
                f"{', '.join(allowed) or 'none'}. Received: {name}={value}"
            )
        check_range(name, value, annotation=parameters[name].annotation)
    missing = [
        name
        for name in allowed
        if name not in arguments
        and parameters[name].default is inspect.Parameter.empty
    ]
    if missing:
        raise ValueError(
            f"Loss '{loss}' needs a value for `{missing[0]}`. Give it to "
            f"LossTerm(..., {missing[0]}=...), or a default to the parameter. "
            f"Received: {', '.join(arguments) or 'no arguments'}"
        )


def check_range(name: str, value: Any, *, annotation: Any) -> None:
    """Raises if a number is out of the range that its annotation gives.

    Schedules and tensors are taken as they are, and so is a value without a
    range.

    Args:
        name: Name of the argument, for the message.
        value: Number or anything else.
        annotation: Type, such as one of `kd_tf.ranges`.

    Raises:
        ValueError: if so, or the number is NaN or infinite.
    """
    type_of = getattr(annotation, "__origin__", None)
    if type_of not in (int, float) or not isinstance(value, numbers.Real):
        return
    config = ConfigDict(allow_inf_nan=False)
    try:
        TypeAdapter(annotation, config=config).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].replace("Input should", "must")
        raise ValueError(
            f"`{name}` {problem}. Received: {name}={value}"
        ) from error
