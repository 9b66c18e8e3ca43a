"""What every source of examples hands over.

N examples, each an array of one fixed shape and type, with a target of one
fixed shape and type: a class number, a mask, a vector.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

Chunks = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """Shape and NumPy type of one example, or of one target."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def row_bytes(self):
        return (
            int(np.prod(self.shape, dtype=int)) * np.dtype(self.dtype).itemsize
        )


CLASS_NUMBER = ArraySpec((), "int64")


@dataclasses.dataclass(frozen=True)
class Examples:
    """A run of examples, read in chunks so that memory does not grow.

    Attributes:
        count: Number of examples N.
        chunks: Function returning a new iterator of `(numbers, x, y)`: which
            examples these are, ascending int64 (n,) from 0, examples (n, ...)
            and targets (n, ...). Examples that are bad are left out.
        names: One name an example, or None: the path of its file below
            `folder`. Examples out of one file share its name.
        folder: Where those files lie, or None if there are none.
    """

    count: int
    chunks: Callable[[], Chunks]
    names: list[str] | None = None
    folder: str | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set before it is split.

    Attributes:
        class_names: One name a class, in the order of the class numbers; of
            a regression, one name a value.
        example: `ArraySpec` of an example.
        train: Examples to learn from.
        test: Examples held out by the data set's makers, or None.
        target: `ArraySpec` of a target.
        task: What the targets are: a name of `kd_tf.tasks.TASKS`.
        palette: One (red, green, blue) a class, to draw masks in, or None.
        sample_rate: Of recordings, in hertz, else None.
        problems: What was found wrong, as (name, what); grows while the
            examples are read.
    """

    class_names: list[str]
    example: ArraySpec
    train: Examples
    test: Examples | None
    target: ArraySpec = CLASS_NUMBER
    task: str = "classification"
    palette: list[tuple[int, int, int]] | None = None
    sample_rate: int | None = None
    problems: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def numbered(chunks):
    """Chunks (x, y) that leave nothing out, with the examples' numbers."""
    start = 0
    for x, y in chunks:
        yield np.arange(start, start + len(y)), x, y
        start += len(y)


def as_pixels(values, name):
    """Turns an array of any number type into uint8, or refuses it.

    Raises:
        ValueError: if a value is not a whole number from 0 to 255.
    """
    if values.dtype == np.uint8:
        return values
    pixels = values.astype(np.uint8, casting="unsafe")
    if not np.array_equal(pixels, values):
        raise ValueError(
            f"{name} holds values that are no pixels. Allowed: whole numbers "
            f"from 0 to 255. Received: {values.dtype} from {values.min()} to "
            f"{values.max()}; pixels that were divided by 255 must be "
            "multiplied and rounded again"
        )
    return pixels
