"""Other people's models, losses and sources, by `"package.module:function"`."""

import importlib


def imported(name, what):
    """The function that a name stands for.

    Args:
        name: `"package.module:function"`.
        what: What it is wanted for, for the message.

    Raises:
        ValueError: if Python cannot import it.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"There is no {what} '{name}'. Allowed: 'package.module:function' "
            f"that Python can import. Received: {error}"
        ) from error
