"""What every source of examples hands over.

N examples, n of them in a chunk, each an array of one fixed shape and type,
with a target of one fixed shape and type: a class number, a mask, a vector.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

_CHUNK = 256  # examples
Chunks = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]
Problems = list[tuple[str, str]]  # (name of an example, what is wrong)


class InvalidData(ValueError):  # noqa: N818, it is left out, not fatal
    """A file, or an example, that cannot be used, and why."""


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """Shape and NumPy type of one example, or of one target."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def row_bytes(self) -> int:
        """Bytes of one such array."""
        size = int(np.prod(self.shape, dtype=int))
        return size * np.dtype(self.dtype).itemsize


CLASS_NUMBER = ArraySpec((), "int64")


@dataclasses.dataclass(frozen=True)
class Examples:
    """A run of examples, read in chunks so that memory does not grow.

    Attributes:
        count: Number of examples N.
        chunks: Function returning a new iterator of `(numbers, x, y)`: which
            examples these are, ascending int64 (n,) from 0, examples (n, ...)
            and targets (n, ...). Invalid examples are left out.
        names: One name for each example, or None: the path of its file below
            `folder`. Examples out of one file share its name.
        folder: The folder of those files, or None if there are none.
    """

    count: int
    chunks: Callable[[], Chunks]
    names: list[str] | None = None
    folder: str | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set before it is split.

    Attributes:
        class_names: One name for each class, in the order of the class
            numbers; of a regression, one name for each value.
        example: `ArraySpec` of an example.
        train: Examples to learn from.
        test: Examples held out by the data set's makers, or None.
        target: `ArraySpec` of a target.
        task: What the targets are: a name of `kd_tf.tasks.TASKS`.
        palette: One (red, green, blue) for each class, to draw masks in, or
            None.
        sample_rate: Of recordings, in hertz, else None.
        problems: Invalid examples, as (name, what is wrong); the list grows
            while the examples are read.
    """

    class_names: list[str]
    example: ArraySpec
    train: Examples
    test: Examples | None
    target: ArraySpec = CLASS_NUMBER
    task: str = "classification"
    palette: list[tuple[int, int, int]] | None = None
    sample_rate: int | None = None
    problems: Problems = dataclasses.field(default_factory=list)


def numbered(chunks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Chunks:
    """Adds the examples' numbers to chunks (x, y) that leave nothing out."""
    start = 0
    for x, y in chunks:
        yield np.arange(start, start + len(y)), x, y
        start += len(y)


def decode_each(
    examples: Iterable[tuple[Any, Any]],
    decode: Callable[[Any, Any], tuple[Any, Any]],
    *,
    name_of: Callable[[int], str],
    problems: Problems,
) -> Chunks:
    """Decodes examples one by one, and leaves out the invalid ones.

    Args:
        examples: Pairs (example, target).
        decode: Pair -> (x (...), y (...)); raises `InvalidData`.
        name_of: Number of an example -> its name.
        problems: List that invalid examples are appended to.

    Yields:
        (numbers, x, y) of the valid ones, a chunk at a time.
    """
    numbers, xs, ys = [], [], []
    for number, example in enumerate(examples):
        try:
            x, y = decode(*example)
        except InvalidData as error:
            problems.append((name_of(number), str(error)))
            continue
        numbers.append(number)
        xs.append(x)
        ys.append(y)
        if len(numbers) == _CHUNK:
            yield np.array(numbers), np.stack(xs), np.stack(ys)
            numbers, xs, ys = [], [], []
    if numbers:
        yield np.array(numbers), np.stack(xs), np.stack(ys)


def as_pixels(values: np.ndarray, name: str) -> np.ndarray:
    """Turns an array of any number type into uint8 without changing a value.

    Args:
        values: Array of any shape.
        name: What to call it in a message.

    Raises:
        ValueError: if a value is not a whole number from 0 to 255.
    """
    if values.dtype == np.uint8:
        return values
    with np.errstate(invalid="ignore"):  # NaN is found by the comparison
        pixels = values.astype(np.uint8, casting="unsafe")
    if not np.array_equal(pixels, values):
        raise ValueError(
            f"{name} must hold whole numbers from 0 to 255. Multiply pixels "
            "that were divided by 255, and round them. Received: "
            f"{values.dtype} from {values.min()} to {values.max()}"
        )
    return pixels
