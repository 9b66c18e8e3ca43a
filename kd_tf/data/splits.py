"""Cuts a source into training, validation and test, and writes them down.

On disk a split is two `.npy` files, uint8 examples (N, ...) and int64 labels
(N,), in an order shuffled by the seed. Fixed-size rows can be streamed by
TensorFlow without Python, and read by NumPy on a machine without TensorFlow.
"""

import dataclasses
import errno
import itertools
import math
import os
import shutil

import numpy as np

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of the data, on disk.

    Attributes:
        x_path: File of uint8 examples (N, ...).
        y_path: File of int64 labels (N,).
    """

    x_path: str
    y_path: str

    @classmethod
    def in_folder(cls, folder, name):
        return cls(
            os.path.join(folder, f"{name}_x.npy"),
            os.path.join(folder, f"{name}_y.npy"),
        )

    def images(self):
        """Read-only view (N, ...) of the file; nothing is loaded yet."""
        return np.load(self.x_path, mmap_mode="r", allow_pickle=False)

    def labels(self):
        return np.load(self.y_path, allow_pickle=False)


def write_splits(source, folder, *, validation_share, test_share, seed):
    """Writes the three splits of a source.

    Args:
        source: `Source`.
        folder: Existing folder to write into.
        validation_share: Share of the training examples to hold out for
            choosing, in (0, 1).
        test_share: Share of the examples to hold out for the final report,
            in (0, 1); used only where the source has no test part.
        seed: Decides which example goes where.

    Returns:
        Record: counts of every split and class, class names, shape.

    Raises:
        ValueError: if a split would be empty or a label is no class number.
        OSError: if the disk has no room.
    """
    _check_room(source, folder)
    row_of = np.random.default_rng(seed).permutation(source.train.count)
    num_test = 0
    if source.test is None:
        num_test = round(test_share * len(row_of))
    num_validation = round(validation_share * (len(row_of) - num_test))
    sizes = {
        "train": len(row_of) - num_test - num_validation,
        "validation": num_validation,
        "test": num_test if source.test is None else source.test.count,
    }
    _check_not_empty(sizes)
    writers = {
        name: _Writer(Split.in_folder(folder, name), size, source)
        for name, size in sizes.items()
    }
    parts = ("test", "validation", "train")
    ends = np.cumsum([0, num_test, num_validation, sizes["train"]])
    bounds = list(itertools.pairwise(ends))
    for x, y, rows in _with_rows(source.train, row_of):
        for name, (start, stop) in zip(parts, bounds, strict=True):
            here = (rows >= start) & (rows < stop)
            writers[name].write(x[here], y[here], rows[here] - start)
    if source.test is not None:
        for x, y, rows in _with_rows(source.test, np.arange(sizes["test"])):
            writers["test"].write(x, y, rows)
    return {
        "class_names": source.class_names,
        "example_shape": list(source.example_shape),
        "test_split": "the source's own" if source.test else "cut by the seed",
        "examples": sizes,
        "examples_per_class": {
            name: writer.close() for name, writer in writers.items()
        },
    }


class _Writer:
    """Writes examples of one split to their rows, whatever order they come."""

    def __init__(self, split, size, source):
        self._num_classes = len(source.class_names)
        self._counts = np.zeros(self._num_classes, int)
        self._missing = size
        self._x, self._x_offset = _new_array(
            split.x_path, (size, *source.example_shape), np.uint8
        )
        self._y, self._y_offset = _new_array(split.y_path, (size,), np.int64)

    def write(self, x, y, rows):
        if len(y) and not (y.min() >= 0 and y.max() < self._num_classes):
            raise ValueError(
                "A label is no class number. Allowed: 0 to "
                f"{self._num_classes - 1}. Received: {y.min()} to {y.max()}"
            )
        row_bytes = math.prod(x.shape[1:])
        for image, label, row in zip(x, y, rows, strict=True):
            self._x.seek(self._x_offset + int(row) * row_bytes)
            self._x.write(image.tobytes())
            self._y.seek(self._y_offset + int(row) * 8)
            self._y.write(label.tobytes())
        self._counts += np.bincount(y, minlength=self._num_classes)
        self._missing -= len(y)

    def close(self):
        self._x.close()
        self._y.close()
        if self._missing:
            raise ValueError(
                "The source ended early. Allowed: as many examples as it "
                f"promises. Received: {self._missing} too few"
            )
        return self._counts.tolist()


def _new_array(path, shape, dtype):
    array = np.lib.format.open_memmap(path, "w+", dtype=dtype, shape=shape)
    # Written through a file, not the map, whose pages would count as memory.
    return open(path, "r+b"), array.offset


def _with_rows(examples, row_of):
    start = 0
    for x, y in examples.chunks():
        yield x, y, row_of[start : start + len(y)]
        start += len(y)


def _check_not_empty(sizes):
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(
                f"The {name} split is empty. Allowed: at least one example in "
                "each of train, validation and test. Received: "
                + ", ".join(f"{key} {value}" for key, value in sizes.items())
            )


def _check_room(source, folder):
    count = source.train.count + (source.test.count if source.test else 0)
    needed = count * (math.prod(source.example_shape) + 8)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"the splits need {needed:,} bytes, {free:,} are free",
            folder,
        )
