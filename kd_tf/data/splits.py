"""Cuts a source into training, validation and test, and writes them down.

On disk a split is two `.npy` files, examples (N, ...) and targets (N, ...),
in an order shuffled by the seed. Fixed-size rows can be streamed by
TensorFlow without Python, and read by NumPy on a machine without TensorFlow.
"""

import dataclasses
import errno
import os
import shutil

import numpy as np

from kd_tf.data.assignment import SPLITS, assign, find_leaks
from kd_tf.tasks import TASKS

_TOLD = 20


@dataclasses.dataclass(frozen=True)
class Split:
    """One part of the data, on disk.

    Attributes:
        x_path: File of examples (N, ...).
        y_path: File of targets (N, ...).
    """

    x_path: str
    y_path: str

    @classmethod
    def in_folder(cls, folder, name):
        return cls(
            os.path.join(folder, f"{name}_x.npy"),
            os.path.join(folder, f"{name}_y.npy"),
        )

    @property
    def count(self):
        """Number of examples N."""
        return len(self.targets())

    def examples(self):
        """Read-only view (N, ...) of the file; nothing is loaded yet."""
        return np.load(self.x_path, mmap_mode="r", allow_pickle=False)

    def targets(self):
        """Read-only view (N, ...) of the file; nothing is loaded yet."""
        return np.load(self.y_path, mmap_mode="r", allow_pickle=False)

    def batches(self, size):
        """Yields examples and targets of the file, `size` at a time."""
        for start in range(0, self.count, size):
            rows = slice(start, start + size)
            yield self.examples()[rows], self.targets()[rows]


def write_splits(source, folder, cut, *, seed, on_error="stop"):
    """Writes the three splits of a source.

    Args:
        source: `Source`.
        folder: Existing folder to write into.
        cut: `Cut`.
        seed: Decides which example goes where.
        on_error: What bad data does: `stop`, after all of it was found, or
            `skip`, which goes on without it and lists it.

    Returns:
        Record: task, counts of every split and class, class names, shapes,
        what was skipped.

    Raises:
        ValueError: if data is bad, a split would be empty, or the same file
            is in two splits.
        OSError: if the disk has no room.
    """
    _check_room(source, folder)
    rank = np.random.default_rng(seed).permutation(source.train.count)
    split_of = assign(source.train, cut, rank, has_test=source.test is not None)
    sizes = dict(
        zip(SPLITS, np.bincount(split_of, minlength=3).tolist(), strict=True)
    )
    if source.test is not None:
        sizes["test"] = source.test.count
    _check_not_empty(sizes)
    writers = {
        name: _Writer(Split.in_folder(folder, name), size, source)
        for name, size in sizes.items()
    }
    row_of = _rows(rank, split_of)
    kept = np.zeros(source.train.count, bool)
    for numbers, x, y in source.train.chunks():
        kept[numbers] = True
        for number, name in enumerate(SPLITS):
            here = split_of[numbers] == number
            writers[name].write(x[here], y[here], row_of[numbers[here]])
    if source.test is not None:
        for numbers, x, y in source.test.chunks():
            writers["test"].write(x, y, numbers)
    found = {name: writer.close() for name, writer in writers.items()}
    for name, what in _unlearned(source, found):
        source.problems.append((name, what))
    _tell(source.problems, on_error)
    counts = {name: writer.count for name, writer in writers.items()}
    _check_complete(sizes, counts, source.problems)
    _check_not_empty(counts)
    find_leaks(source.train, split_of, kept)
    return {
        "task": source.task,
        "class_names": source.class_names,
        "example_shape": list(source.example.shape),
        "example_dtype": source.example.dtype,
        "target_shape": list(source.target.shape),
        "palette": source.palette,
        "sample_rate": source.sample_rate,
        "test_split": "the source's own" if source.test else "cut by the seed",
        "examples": counts,
        "examples_per_class": found,
        "examples_scale": writers["train"].scale(),
        "targets": writers["train"].moments(),
        "skipped": [list(problem) for problem in source.problems],
    }


class _Writer:
    """Writes examples of one split to their rows, whatever order they come."""

    def __init__(self, split, size, source):
        self._split = split
        self._task = TASKS[source.task]
        self._num_classes = len(source.class_names)
        self._per_class = np.zeros(self._num_classes, int)
        is_table = source.example.dtype.startswith("float")
        self._scale = _Moments() if is_table else None
        self._moments = _Moments() if self._task.has_values else None
        self._filled = np.zeros(size, bool)
        self._x = _RowFile(split.x_path, size, source.example)
        self._y = _RowFile(split.y_path, size, source.target)

    @property
    def count(self):
        return int(self._filled.sum())

    def write(self, x, y, rows):
        self._x.check(x)
        self._y.check(y)
        self._per_class += self._task.count(y, self._num_classes)
        for moments, values in ((self._scale, x), (self._moments, y)):
            if moments is not None:
                moments.update(values)
        for example, target, row in zip(x, y, rows, strict=True):
            self._x.write(example, row)
            self._y.write(target, row)
        self._filled[rows] = True

    def close(self):
        """Returns the count of every class."""
        self._fill_holes()
        self._x.close(self.count)
        self._y.close(self.count)
        return self._per_class.tolist()

    def scale(self):
        """Mean and standard deviation of every feature of a table."""
        return self._scale and self._scale.result()

    def moments(self):
        """Mean and standard deviation of every value of a regression."""
        return self._moments and self._moments.result()

    def _fill_holes(self):
        """Moves the last examples to where others were left out."""
        holes = np.flatnonzero(~self._filled[: self.count])
        last = np.flatnonzero(self._filled[self.count :]) + self.count
        for hole, row in zip(holes, last, strict=True):
            self._x.move(row, hole)
            self._y.move(row, hole)


class _Moments:
    """Mean and standard deviation along the first axis, as rows come."""

    def __init__(self):
        self._count, self._sum, self._square = 0, 0.0, 0.0

    def update(self, values):
        values = values.astype(float)
        self._count += len(values)
        self._sum = self._sum + values.sum(axis=0)
        self._square = self._square + np.square(values).sum(axis=0)

    def result(self):
        mean = self._sum / self._count
        variance = self._square / self._count - mean**2
        # What never changes tells nothing, and must not be divided by 0.
        moves = variance > 1e-12 * self._square / self._count
        std = np.where(moves, np.sqrt(np.maximum(variance, 0)), 1)
        return {"mean": mean.tolist(), "std": std.tolist()}


class _RowFile:
    """A `.npy` file written row by row.

    Written through a file, not a map, whose pages would count as memory.
    """

    def __init__(self, path, size, rows):
        self._path, self._rows, self._size = path, rows, size
        array = np.lib.format.open_memmap(
            path, "w+", dtype=rows.dtype, shape=(size, *rows.shape)
        )
        self._offset = array.offset
        self._file = open(path, "r+b")  # noqa: SIM115, closed by close()

    def check(self, values):
        if values.shape[1:] != self._rows.shape:
            raise ValueError(
                "A source yields what it did not promise. Allowed: shape "
                f"{self._rows.shape}. Received: {values.shape[1:]}"
            )

    def write(self, value, row):
        self._seek(row)
        self._file.write(value.astype(self._rows.dtype, copy=False).tobytes())

    def move(self, row, target):
        self._seek(row)
        value = self._file.read(self._rows.row_bytes)
        self._seek(target)
        self._file.write(value)

    def close(self, count):
        """Cuts what is left over after `count` rows."""
        if count < self._size:
            self._file.seek(0)
            header = {
                "descr": np.dtype(self._rows.dtype).str,
                "fortran_order": False,
                "shape": (count, *self._rows.shape),
            }
            # A smaller number needs no more room; NumPy pads the header.
            np.lib.format.write_array_header_1_0(self._file, header)
            self._seek(count)
            self._file.truncate()
        self._file.close()

    def _seek(self, row):
        self._file.seek(self._offset + int(row) * self._rows.row_bytes)


def _rows(rank, split_of):
    """Row of every example in its split: the order of its rank there."""
    row_of = np.empty(len(rank), int)
    for number in range(len(SPLITS)):
        here = split_of == number
        row_of[here] = np.argsort(np.argsort(rank[here]))
    return row_of


def _unlearned(source, per_class):
    """Classes that are asked for and were never shown."""
    if TASKS[source.task].has_values:
        return
    for name, train, test in zip(
        source.class_names, per_class["train"], per_class["test"], strict=True
    ):
        if test and not train:
            yield f"class '{name}'", f"only in test ({test:,} there)"


def _tell(problems, on_error):
    if not problems or on_error == "skip":
        return
    told = [f"{name}: {what}" for name, what in problems[:_TOLD]]
    if len(problems) > _TOLD:
        told.append(f"and {len(problems) - _TOLD} more")
    raise ValueError(
        "The data is bad. Allowed: mend or remove it, or data.on_error: skip "
        "to go on without it. Received:\n  " + "\n  ".join(told)
    )


def _check_not_empty(sizes):
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(
                f"The {name} split is empty. Allowed: at least one example in "
                "each of train, validation and test. Received: "
                + ", ".join(f"{key} {value}" for key, value in sizes.items())
            )


def _check_complete(promised, counts, problems):
    if counts != promised and not problems:
        raise ValueError(
            f"The source ended early. Allowed: {sum(promised.values()):,} "
            "examples, as promised, or problems that say why there are fewer. "
            f"Received: {sum(counts.values()):,}"
        )


def _check_room(source, folder):
    count = source.train.count + (source.test.count if source.test else 0)
    needed = count * (source.example.row_bytes + source.target.row_bytes)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"the splits need {needed:,} bytes, {free:,} are free",
            folder,
        )
