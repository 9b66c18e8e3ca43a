"""A source of somebody's own."""

from kd_tf.data.sources import Source
from kd_tf.extensions import imported


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
    source = imported(name, "source")(**arguments)
    if not isinstance(source, Source):
        raise ValueError(
            f"'{name}' returns no source of data. Allowed: a "
            f"kd_tf.data.sources.Source. Received: {type(source).__name__}"
        )
    return source
