"""What every source of examples hands over.

N examples, each a uint8 array of one fixed shape with one class number.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

Chunks = Iterator[tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Examples:
    """A run of examples, read in chunks so that memory does not grow.

    Attributes:
        count: Number of examples N.
        chunks: Function returning a new iterator of pairs: uint8
            (n, *example_shape) and int64 (n,).
    """

    count: int
    chunks: Callable[[], Chunks]


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set before it is split.

    Attributes:
        class_names: One name a class, in the order of the class numbers.
        example_shape: Shape of one example.
        train: Examples to learn from.
        test: Examples held out by the data set's makers, or None.
    """

    class_names: list[str]
    example_shape: tuple[int, ...]
    train: Examples
    test: Examples | None


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
