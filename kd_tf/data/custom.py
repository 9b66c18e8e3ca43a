"""A source of somebody's own."""

import importlib

from kd_tf.data.sources import Source


def custom_source(name, **arguments):
    """Calls a function that returns a `Source`.

    Args:
        name: `"package.module:function"`.
        **arguments: Passed to the function.

    Returns:
        `Source`.

    Raises:
        ValueError: if there is no such function, or it returns none.
    """
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"There is no source '{name}'. Allowed: 'package.module:function' "
            f"that Python can import. Received: {error}"
        ) from error
    source = function(**arguments)
    if not isinstance(source, Source):
        raise ValueError(
            f"'{name}' returns no source of data. Allowed: a "
            f"kd_tf.data.sources.Source. Received: {type(source).__name__}"
        )
    return source
