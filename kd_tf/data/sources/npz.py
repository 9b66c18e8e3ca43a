"""Arrays in an `.npz` file, read in chunks and never unpickled."""

import dataclasses
import math
import zipfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from kd_tf.data.sources.source import (
    ArraySpec,
    Examples,
    Source,
    as_pixels,
    numbered,
)
from kd_tf.ranges import Path

_NEEDED = ("x_train", "y_train", "x_test", "y_test")
_CHUNK_BYTES = 2**24


def npz_source(path: Path) -> Source:
    """Reads arrays of examples and labels from an `.npz` file.

    It must hold `x_train`, `y_train`, `x_test`, `y_test` and may hold
    `class_names`.

    Args:
        path: The file. Images (N, height, width), (N, height, width,
            channels), or any (N, ...) of whole numbers from 0 to 255; labels
            (N,) or (N, 1) of whole numbers from 0.

    Returns:
        `Source` with the test part of the file.

    Raises:
        ValueError: if the file is not such an archive, and why.
    """
    headers = _read_headers(path)
    _check_headers(path, headers)
    y_train, y_test = (_read_labels(path, part) for part in ("train", "test"))
    shape = _example_shape(path, headers)
    num_classes = int(y_train.max(initial=-1)) + 1
    return Source(
        class_names=_class_names(path, headers, num_classes),
        example=ArraySpec(shape, "uint8"),
        train=_examples(path, "train", y_train, headers, shape),
        test=_examples(path, "test", y_test, headers, shape),
    )


@dataclasses.dataclass(frozen=True)
class _Header:
    """What an array's file says before its values."""

    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool


def _read_headers(path: str) -> dict[str, _Header]:
    """{name: header} of the arrays in the archive."""
    headers = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(".npy"):
                    with archive.open(member) as file:
                        headers[member[:-4]] = _read_header(file)
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ValueError(
            f"{path} must be an .npz archive, as numpy.savez and "
            f"numpy.savez_compressed write them. Received: {error}"
        ) from error
    return headers


def _read_header(file: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    return _Header(shape, dtype, fortran)


def _check_headers(path: str, headers: dict[str, _Header]) -> None:
    missing = [name for name in _NEEDED if name not in headers]
    if missing:
        raise ValueError(
            f"{path} lacks {', '.join(missing)}. It must hold "
            f"{', '.join(_NEEDED)}. Received: {', '.join(headers) or 'none'}"
        )
    for name, header in headers.items():
        if header.dtype.hasobject:
            raise ValueError(
                f"{path} holds Python objects in {name}, which would have to "
                "be unpickled; store arrays of numbers. Received: dtype "
                f"{header.dtype}"
            )


def _read_labels(path: str, part: str) -> np.ndarray:
    name = f"y_{part}"
    with np.load(path, allow_pickle=False) as arrays:
        labels = arrays[name]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    is_vector = labels.ndim == 1 and np.issubdtype(labels.dtype, np.number)
    if not is_vector or not np.array_equal(labels, labels.astype("int64")):
        raise ValueError(
            f"{path} has invalid labels in {name}: they must be class "
            "numbers, whole numbers from 0, of shape (N,). Received: "
            f"{labels.dtype} of shape {labels.shape}"
        )
    return labels.astype("int64")


def _example_shape(path: str, headers: dict[str, _Header]) -> tuple[int, ...]:
    train, test = headers["x_train"].shape, headers["x_test"].shape
    if len(train) < 2 or train[1:] != test[1:]:
        raise ValueError(
            f"{path} has examples of unequal or unknown shape: x_train and "
            "x_test must have the shape (N, ...), alike but for N. Received: "
            f"{train} and {test}"
        )
    # Grey images are often kept without a channel axis; networks want one.
    return (*train[1:], 1) if len(train) == 3 else train[1:]


def _class_names(
    path: str, headers: dict[str, _Header], num_classes: int
) -> list[str]:
    if "class_names" not in headers:
        return [str(number) for number in range(num_classes)]
    with np.load(path, allow_pickle=False) as arrays:
        names = [str(name) for name in arrays["class_names"]]
    if len(names) < num_classes:
        raise ValueError(
            f"{path} names too few classes: class_names must name each of "
            f"the {num_classes} in y_train. Received: {len(names)} names"
        )
    return names


def _examples(
    path: str,
    part: str,
    labels: np.ndarray,
    headers: dict[str, _Header],
    shape: tuple[int, ...],
) -> Examples:
    name = f"x_{part}"
    count = headers[name].shape[0]
    if count != len(labels):
        raise ValueError(
            f"{path} must have one label for every example. Received: {count} "
            f"in {name}, {len(labels)} in y_{part}"
        )

    def read() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        start = 0
        for values in _read_in_chunks(path, name):
            pixels = as_pixels(values, f"{path}: {name}")
            stop = start + len(pixels)
            yield pixels.reshape(-1, *shape), labels[start:stop]
            start = stop

    return Examples(count, lambda: numbered(read()))


def _read_in_chunks(path: str, name: str) -> Iterator[np.ndarray]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        header = _read_header(file)
        if header.is_fortran:
            # Its examples lie interleaved, so it cannot be read in order.
            yield np.load(path, allow_pickle=False)[name]
            return
        count, *shape = header.shape
        row_bytes = math.prod(shape) * header.dtype.itemsize
        rows = max(1, _CHUNK_BYTES // max(1, row_bytes))
        for start in range(0, count, rows):
            size = min(rows, count - start)
            data = file.read(size * row_bytes)
            yield np.frombuffer(data, header.dtype).reshape(size, *shape)
