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

from kd_tf.data.splitting.assignment import (
    SPLITS,
    assign,
    check_apart,
    find_leaks,
)
from kd_tf.data.splitting.writing import SplitWriter
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
        cut: `SplitSettings`.
        seed: Decides which example goes where.
        on_error: What bad data does: `stop`, after all of it was found, or
            `skip`, which goes on without it and lists it.

    Returns:
        Record: task, counts of every split and class, class names, shapes,
        what was skipped.

    Raises:
        ValueError: if targets are not what the task asks, data is bad, a
            split would be empty, or the same file is in two splits.
        OSError: if the disk has no room.
    """
    _check_targets(source)
    _check_room(source, folder)
    rank = np.random.default_rng(seed).permutation(source.train.count)
    split_of = assign(source.train, cut, rank, has_test=source.test is not None)
    if source.test is not None and cut.group:
        check_apart(source.train, source.test, cut.group)
    sizes = dict(
        zip(SPLITS, np.bincount(split_of, minlength=3).tolist(), strict=True)
    )
    if source.test is not None:
        sizes["test"] = source.test.count
    _check_not_empty(sizes)
    writers = {
        name: SplitWriter(Split.in_folder(folder, name), size, source)
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
    for i, name in enumerate(source.class_names):
        for split in ("validation", "test"):
            count = per_class[split][i]
            if count and not per_class["train"][i]:
                what = f"in {split} ({count:,} there), never in train"
                yield f"class '{name}'", what


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
                "each of train, validation and test; files and groups are "
                "never parted. Received: "
                + ", ".join(f"{key} {value}" for key, value in sizes.items())
            )


def _check_complete(promised, counts, problems):
    if counts != promised and not problems:
        raise ValueError(
            f"The source ended early. Allowed: {sum(promised.values()):,} "
            "examples, as promised, or problems that say why there are fewer. "
            f"Received: {sum(counts.values()):,}"
        )


def _check_targets(source):
    """Scores would broadcast what does not fit, and be wrong in silence."""
    task, count = TASKS[source.task], len(source.class_names)
    allowed = () if source.task == "classification" else (count,)
    if task.per_pixel:
        allowed = source.example.shape[:2]
    if source.target.shape != allowed:
        raise ValueError(
            f"The targets do not fit the task. Allowed: shape {allowed} for "
            f"{source.task} of {count} names. Received: {source.target.shape}"
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
