"""Arrays in an `.npz` file, read in chunks and never unpickled."""

import math
import zipfile

import numpy as np

from kd_tf.data.sources.source import (
    ArraySpec,
    Examples,
    Source,
    as_pixels,
    numbered,
)

_NEEDED = ("x_train", "y_train", "x_test", "y_test")
_CHUNK_BYTES = 2**24


def npz_source(path):
    """Reads `x_train`, `y_train`, `x_test`, `y_test` and, optionally,
    `class_names`.

    Args:
        path: The file. Images (N, height, width), (N, height, width,
            channels), or any (N, ...) of whole numbers from 0 to 255; labels
            (N,) or (N, 1) of whole numbers from 0.

    Returns:
        `Source` with the test part of the file.

    Raises:
        ValueError: if the file is no such archive, and why.
    """
    headers = _read_headers(path)
    missing = [name for name in _NEEDED if name not in headers]
    if missing:
        raise ValueError(
            f"{path} lacks {', '.join(missing)}. Allowed: an .npz with "
            f"{', '.join(_NEEDED)}. Received: {', '.join(headers) or 'none'}"
        )
    for name, (_, dtype, _) in headers.items():
        if dtype.hasobject:
            raise ValueError(
                f"{path} holds Python objects in {name}, which would have to "
                "be unpickled. Allowed: arrays of numbers. Received: dtype "
                f"{dtype}"
            )
    y_train, y_test = (_read_labels(path, part) for part in ("train", "test"))
    shape = _example_shape(path, headers)
    num_classes = int(y_train.max(initial=-1)) + 1
    return Source(
        class_names=_class_names(path, headers, num_classes),
        example=ArraySpec(tuple(shape), "uint8"),
        train=_examples(path, "x_train", headers, y_train, shape),
        test=_examples(path, "x_test", headers, y_test, shape),
    )


def _read_headers(path):
    """{name: (shape, dtype, fortran order)} of the arrays in the archive."""
    headers = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(".npy"):
                    with archive.open(member) as file:
                        headers[member[:-4]] = _read_header(file)
    except (zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ValueError(
            f"{path} is no .npz archive. Allowed: a file written by "
            f"numpy.savez or numpy.savez_compressed. Received: {error}"
        ) from error
    return headers


def _read_header(file):
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype, fortran


def _read_labels(path, part):
    name = f"y_{part}"
    with np.load(path, allow_pickle=False) as arrays:
        labels = arrays[name]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    whole = labels.ndim == 1 and np.issubdtype(labels.dtype, np.number)
    if not whole or not np.array_equal(labels, labels.astype("int64")):
        raise ValueError(
            f"{path} has labels in {name} that are no class numbers. Allowed: "
            "whole numbers from 0, of shape (N,). Received: "
            f"{labels.dtype} of shape {labels.shape}"
        )
    return labels.astype("int64")


def _example_shape(path, headers):
    train, test = headers["x_train"][0], headers["x_test"][0]
    if len(train) < 2 or train[1:] != test[1:]:
        raise ValueError(
            f"{path} has examples of unequal or unknown shape. Allowed: "
            "x_train and x_test of shape (N, ...), alike but for N. Received: "
            f"{train} and {test}"
        )
    # Grey images are often kept without a channel axis; networks want one.
    return (*train[1:], 1) if len(train) == 3 else train[1:]


def _class_names(path, headers, num_classes):
    if "class_names" not in headers:
        return [str(number) for number in range(num_classes)]
    with np.load(path, allow_pickle=False) as arrays:
        names = [str(name) for name in arrays["class_names"]]
    if len(names) < num_classes:
        raise ValueError(
            f"{path} names too few classes. Allowed: one for each of the "
            f"{num_classes} in y_train. Received: {len(names)} class_names"
        )
    return names


def _examples(path, name, headers, labels, shape):
    count = headers[name][0][0]
    if count != len(labels):
        raise ValueError(
            f"{path} has a label for not every example. Allowed: as many "
            f"labels as examples. Received: {count} in {name}, "
            f"{len(labels)} in y{name[1:]}"
        )

    def chunks():
        start = 0
        for values in _read_in_chunks(path, name):
            pixels = as_pixels(values, f"{path}: {name}")
            stop = start + len(pixels)
            yield pixels.reshape(-1, *shape), labels[start:stop]
            start = stop

    return Examples(count, lambda: numbered(chunks()))


def _read_in_chunks(path, name):
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        shape, dtype, fortran = _read_header(file)
        if fortran:
            # Its examples lie interleaved, so it cannot be read in order.
            yield np.load(path, allow_pickle=False)[name]
            return
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        rows = max(1, _CHUNK_BYTES // max(1, row_bytes))
        for start in range(0, shape[0], rows):
            count = min(rows, shape[0] - start)
            data = file.read(count * row_bytes)
            yield np.frombuffer(data, dtype).reshape(count, *shape[1:])
