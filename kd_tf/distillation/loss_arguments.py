"""Checks the arguments of a loss by the annotations of its signature."""

import inspect
import numbers
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from kd_tf.distillation.loss_table import LossSpec

_SEVERAL = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def read_parameters(
    function: Callable[..., Any],
) -> dict[str, inspect.Parameter]:
    """{name: parameter} of a loss, without its two tensors.

    Args:
        function: Function of two tensors and further arguments. Unlike
            `LossSpec.arguments` this works for functions without a name, too.
    """
    parameters = list(inspect.signature(function).parameters.values())[2:]
    return {p.name: p for p in parameters if p.kind not in _SEVERAL}


def check_arguments(
    loss: str,
    arguments: Mapping[str, Any],
    parameters: Mapping[str, inspect.Parameter],
) -> None:
    """Raises if a loss has no such argument, or one is out of its range.

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
