"""A source of somebody's own."""

from kd_tf.data.sources.source import Source
from kd_tf.entry_points import load_entry_point


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
    source = load_entry_point(name, "source")(**arguments)
    if not isinstance(source, Source):
        raise ValueError(
            f"'{name}' returns no source of data. Allowed: a "
            f"kd_tf.data.sources.source.Source. Received: {type(source).__name__}"
        )
    return source
