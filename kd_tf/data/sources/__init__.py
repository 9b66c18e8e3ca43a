"""The table of data sources, and how to open one.

To add a source: write a function that returns a `Source`, with annotated
keyword arguments, and add a row to `SOURCES`.
"""

import dataclasses
import inspect
from typing import Any, ClassVar

from kd_tf.data.sources.source import Source
from kd_tf.specs import Spec, Table


@dataclasses.dataclass(frozen=True)
class SourceSpec(Spec):
    """One data source.

    Attributes:
        is_tabular: Whether examples are features of unlike scales, which are
            normalized by their own mean and standard deviation.
    """

    is_tabular: bool = False

    supplied: ClassVar[tuple[str, ...]] = ("task",)


SOURCES = Table(
    "data source",
    {
        "digits": SourceSpec("kd_tf.data.sources.scikit_learn:digits_source"),
        "diabetes": SourceSpec(
            "kd_tf.data.sources.scikit_learn:diabetes_source", is_tabular=True
        ),
        "npz": SourceSpec("kd_tf.data.sources.npz:npz_source"),
        "tfds": SourceSpec("kd_tf.data.sources.tfds:tfds_source"),
        "image_folder": SourceSpec(
            "kd_tf.data.sources.image_folder:image_folder_source"
        ),
        "segmentation_folder": SourceSpec(
            "kd_tf.data.sources.segmentation_folder:segmentation_folder_source"
        ),
        "audio_folder": SourceSpec(
            "kd_tf.data.sources.audio_folder:audio_folder_source"
        ),
        "csv": SourceSpec("kd_tf.data.sources.csv:csv_source", is_tabular=True),
    },
    own=SourceSpec,
)


def open_source(name: str, /, *, task: str, **arguments: Any) -> Source:
    """Opens a data source.

    Args:
        name: A key of `SOURCES`, or `"package.module:function"` for a
            function of your own that returns a `Source`.
        task: A name of `kd_tf.tasks.TASKS`; passed on to functions that have
            a parameter `task`.
        **arguments: Arguments of the source's function.

    Returns:
        `Source`.

    Raises:
        ValueError: if there is no such source, the function does not return a
            `Source`, or its data cannot be used.
    """
    function = SOURCES.find(name).load()
    if "task" in inspect.signature(function).parameters:
        arguments["task"] = task
    source = function(**arguments)
    if not isinstance(source, Source):
        raise ValueError(
            f"'{name}' must return a kd_tf.data.sources.source.Source. "
            f"Received: {type(source).__name__}"
        )
    return source
