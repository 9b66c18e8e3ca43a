"""Divides a source into training, validation and test, and writes them down.

On disk a split is two `.npy` files, examples (N, ...) and targets (N, ...),
in an order shuffled by the seed. Fixed-size rows can be streamed by
TensorFlow without Python, and read by NumPy on a machine without TensorFlow.
"""

import dataclasses
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from kd_tf.data.sources.source import Problems, Source
from kd_tf.data.splitting.assignment import SPLITS, SplitSettings, assign
from kd_tf.data.splitting.leaks import check_apart, find_leaks
from kd_tf.data.splitting.writing import SplitWriter, WrittenSplit
from kd_tf.results import DataRecord
from kd_tf.tasks import get_task

_LISTED = 20  # problems in a message


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
    def in_folder(cls, folder: str | os.PathLike[str], name: str) -> "Split":
        """The split of a name in the folder that it was written to."""
        return cls(
            os.path.join(folder, f"{name}_x.npy"),
            os.path.join(folder, f"{name}_y.npy"),
        )

    @property
    def count(self) -> int:
        """Number of examples N."""
        return len(self.targets())

    def examples(self) -> np.memmap:
        """Read-only view (N, ...) of the file; nothing is loaded yet."""
        return np.load(self.x_path, mmap_mode="r", allow_pickle=False)

    def targets(self) -> np.memmap:
        """Read-only view (N, ...) of the file; nothing is loaded yet."""
        return np.load(self.y_path, mmap_mode="r", allow_pickle=False)

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields examples and targets of the file, `size` at a time."""
        for start in range(0, self.count, size):
            rows = slice(start, start + size)
            yield self.examples()[rows], self.targets()[rows]


def write_splits(
    source: Source,
    folder: str,
    *,
    settings: SplitSettings,
    seed: int,
    on_error: Literal["stop", "skip"] = "stop",
) -> DataRecord:
    """Writes the three splits of a source.

    Args:
        source: `Source`.
        folder: Existing folder to write into.
        settings: `SplitSettings`.
        seed: Decides which example goes where.
        on_error: What happens at invalid data: `stop` raises an error after
            all of it was read, `skip` continues without it and lists it.

    Returns:
        `DataRecord`.

    Raises:
        ValueError: if targets do not fit the task, data is invalid, a split
            would be empty, or the same file is in two splits.
        OSError: if there is too little space on the disk.
    """
    _check_targets(source)
    _check_space(source, folder)
    rank = np.random.default_rng(seed).permutation(source.train.count)
    has_test = source.test is not None
    split_of = assign(source.train, settings, rank=rank, has_test=has_test)
    if source.test is not None and settings.group:
        check_apart(source.train, source.test, group=settings.group)
    sizes = _sizes(source, split_of)
    _check_not_empty(sizes)
    splits, kept = _write(source, folder, sizes, rank, split_of)
    per_class = {name: split.per_class for name, split in splits.items()}
    source.problems.extend(_never_in_train(source, per_class))
    _check_problems(source, on_error)
    counts = {name: split.count for name, split in splits.items()}
    _check_complete(sizes, counts, source.problems)
    _check_not_empty(counts)
    find_leaks(source.train, split_of, kept=kept)
    return DataRecord(
        task=source.task,
        class_names=source.class_names,
        example_shape=list(source.example.shape),
        example_dtype=source.example.dtype,
        target_shape=list(source.target.shape),
        examples=counts,
        examples_per_class=per_class,
        test_split=_origin_of_test(source, settings),
        palette=source.palette,
        sample_rate=source.sample_rate,
        feature_moments=splits["train"].feature_moments,
        target_moments=splits["train"].target_moments,
        skipped=list(source.problems),
    )


def _origin_of_test(source: Source, settings: SplitSettings) -> str:
    if source.test is not None:
        return "the source's own"
    if settings.test_pattern:
        return "selected by test_pattern"
    return "drawn by the seed"


def _sizes(source: Source, split_of: np.ndarray) -> dict[str, int]:
    """{split: number of examples}, before any turns out to be invalid."""
    counts = np.bincount(split_of, minlength=len(SPLITS)).tolist()
    sizes = dict(zip(SPLITS, counts, strict=True))
    if source.test is not None:
        sizes["test"] = source.test.count
    return sizes


def _write(
    source: Source,
    folder: str,
    sizes: Mapping[str, int],
    rank: np.ndarray,
    split_of: np.ndarray,
) -> tuple[dict[str, WrittenSplit], np.ndarray]:
    """{split: what was written}, and which training examples are valid."""
    writers = {}
    for name, size in sizes.items():
        split = Split.in_folder(folder, name)
        writers[name] = SplitWriter(
            split.x_path, split.y_path, size=size, source=source
        )
    row_of = _rows(rank, split_of)
    kept = np.zeros(source.train.count, bool)
    for numbers, x, y in source.train.chunks():
        kept[numbers] = True
        for number, name in enumerate(SPLITS):
            here = split_of[numbers] == number
            rows = row_of[numbers[here]]
            writers[name].write(x[here], y[here], rows=rows)
    if source.test is not None:
        for numbers, x, y in source.test.chunks():
            writers["test"].write(x, y, rows=numbers)
    return {name: writer.close() for name, writer in writers.items()}, kept


def _rows(rank: np.ndarray, split_of: np.ndarray) -> np.ndarray:
    """Row of every example in its split: the order of its rank there."""
    row_of = np.empty(len(rank), int)
    for number in range(len(SPLITS)):
        here = split_of == number
        row_of[here] = np.argsort(np.argsort(rank[here]))
    return row_of


def _never_in_train(
    source: Source, per_class: Mapping[str, list[int]]
) -> Problems:
    """Classes that are evaluated without an example to learn them from."""
    if get_task(source.task).counted is None:
        return []
    return [
        (f"class '{name}'", f"is {count:,} times in {split}, never in train")
        for i, name in enumerate(source.class_names)
        for split in ("validation", "test")
        if (count := per_class[split][i]) and not per_class["train"][i]
    ]


def _check_problems(source: Source, on_error: str) -> None:
    if not source.problems or on_error == "skip":
        return
    lines = [f"{name}: {why}" for name, why in source.problems[:_LISTED]]
    if len(source.problems) > _LISTED:
        lines.append(f"and {len(source.problems) - _LISTED} more")
    what = "files" if source.train.folder is not None else "examples"
    raise ValueError(
        f"Invalid data. Fix or remove these {what}, or set on_error='skip' to "
        "continue without them:\n  " + "\n  ".join(lines)
    )


def _check_not_empty(sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(
                f"The {name} split is empty; each of train, validation and "
                "test needs at least one example. Files and groups are never "
                "separated. Received: "
                + ", ".join(f"{key} {value}" for key, value in sizes.items())
            )


def _check_complete(
    sizes: Mapping[str, int], counts: Mapping[str, int], problems: Problems
) -> None:
    if counts != sizes and not problems:
        raise ValueError(
            f"The source ended early: it must yield {sum(sizes.values()):,} "
            "examples, as it states, or list problems that say why there are "
            f"fewer. Received: {sum(counts.values()):,}"
        )


def _check_targets(source: Source) -> None:
    # Scores would broadcast targets of another shape, and be wrong silently.
    count = len(source.class_names)
    shape = get_task(source.task).target_shape(source.example.shape, count)
    if source.target.shape != shape:
        raise ValueError(
            f"The targets do not fit the task: {source.task} of {count} names "
            f"needs the shape {shape}. Received: {source.target.shape}"
        )


def _check_space(source: Source, folder: str) -> None:
    count = source.train.count + (source.test.count if source.test else 0)
    needed = count * (source.example.row_bytes + source.target.row_bytes)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            errno.ENOSPC,
            f"the splits need {needed:,} bytes, {free:,} are free",
            folder,
        )
