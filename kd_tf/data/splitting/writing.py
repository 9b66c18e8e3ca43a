"""Examples -> the two `.npy` files of a split, row by row in any order.

n examples in a chunk, F entries of the last axis.
"""

import dataclasses
import os
import weakref

import numpy as np

from kd_tf.data.sources.source import ArraySpec, Source
from kd_tf.results import Moments
from kd_tf.tasks import get_task


@dataclasses.dataclass(frozen=True)
class WrittenSplit:
    """What a split holds after its last example was written.

    Attributes:
        count: Number of examples.
        per_class: How often each class occurs.
        feature_moments: Of the features of a table, else None.
        target_moments: Of targets that are values, else None.
    """

    count: int
    per_class: list[int]
    feature_moments: Moments | None
    target_moments: Moments | None


class SplitWriter:
    """Writes the examples of one split to their rows, in any order.

    Args:
        x_path: File of examples to write.
        y_path: File of targets to write.
        size: Greatest number of examples; rows never written are closed up.
        source: `Source` of the examples.
    """

    def __init__(
        self, x_path: str, y_path: str, *, size: int, source: Source
    ) -> None:
        """Creates both files."""
        self._task = get_task(source.task)
        self._num_classes = len(source.class_names)
        self._per_class = np.zeros(self._num_classes, int)
        is_float = source.example.dtype.startswith("float")
        is_table = is_float and source.sample_rate is None
        has_values = self._task.unit == "value"
        self._features = _RunningMoments() if is_table else None
        self._values = _RunningMoments() if has_values else None
        self._filled = np.zeros(size, bool)
        self._x = _RowFile(x_path, size, source.example)
        self._y = _RowFile(y_path, size, source.target)

    def write(self, x: np.ndarray, y: np.ndarray, *, rows: np.ndarray) -> None:
        """Writes examples (n, ...) and targets (n, ...) to rows, int (n,)."""
        self._x.check(x)
        self._y.check(y)
        self._per_class += self._task.count(y, self._num_classes)
        for moments, values in ((self._features, x), (self._values, y)):
            if moments is not None:
                moments.update(values)
        for example, target, row in zip(x, y, rows, strict=True):
            self._x.write(example, row)
            self._y.write(target, row)
        self._filled[rows] = True

    def close(self) -> WrittenSplit:
        """Closes the files, and returns what they hold."""
        count = int(self._filled.sum())
        self._fill_holes(count)
        self._x.close(count)
        self._y.close(count)
        return WrittenSplit(
            count,
            self._per_class.tolist(),
            self._features.result() if self._features else None,
            self._values.result() if self._values else None,
        )

    def _fill_holes(self, count: int) -> None:
        """Moves the last examples to where others were left out."""
        holes = np.flatnonzero(~self._filled[:count])
        last = np.flatnonzero(self._filled[count:]) + count
        for hole, row in zip(holes.tolist(), last.tolist(), strict=True):
            self._x.move(row, hole)
            self._y.move(row, hole)


class _RunningMoments:
    """Mean and standard deviation of each of F entries, as rows come."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = self._square = np.zeros(())
        self._origin = np.zeros(())

    def update(self, values: np.ndarray) -> None:
        if not len(values):
            return
        values = values.reshape(-1, values.shape[-1]).astype(float)
        if not self._count:
            # Squares of what is far from zero would swallow the differences.
            self._origin = values[0]
        values = values - self._origin
        self._count += len(values)
        self._sum = self._sum + values.sum(axis=0)
        self._square = self._square + np.square(values).sum(axis=0)

    def result(self) -> Moments | None:
        if not self._count:
            return None
        mean = self._sum / self._count
        variance = self._square / self._count - mean**2
        # A constant feature must not be divided by 0.
        std = np.where(variance > 0, np.sqrt(np.maximum(variance, 0)), 1)
        return Moments((mean + self._origin).tolist(), std.tolist())


class _RowFile:
    """A `.npy` file written row by row.

    Written through a file, not a map, whose pages would count as memory.
    """

    def __init__(
        self, path: str | os.PathLike[str], size: int, row: ArraySpec
    ) -> None:
        self._row, self._size = row, size
        array = np.lib.format.open_memmap(
            path, "w+", dtype=np.dtype(row.dtype), shape=(size, *row.shape)
        )
        self._offset = array.offset
        self._file = open(path, "r+b")  # noqa: SIM115, closed by close()
        # Or here, where an error has ended the writing.
        weakref.finalize(self, self._file.close)

    def check(self, values: np.ndarray) -> None:
        if values.shape[1:] != self._row.shape:
            raise ValueError(
                "A source must yield arrays of the shape that it states, "
                f"{self._row.shape}. Received: {values.shape[1:]}"
            )

    def write(self, value: np.ndarray, row: int) -> None:
        self._seek(row)
        self._file.write(value.astype(self._row.dtype, copy=False).tobytes())

    def move(self, row: int, target: int) -> None:
        self._seek(row)
        value = self._file.read(self._row.row_bytes)
        self._seek(target)
        self._file.write(value)

    def close(self, count: int) -> None:
        """Truncates the file behind `count` rows."""
        if count < self._size:
            self._file.seek(0)
            header = {
                "descr": np.dtype(self._row.dtype).str,
                "fortran_order": False,
                "shape": (count, *self._row.shape),
            }
            # A smaller number needs no more room; NumPy pads the header.
            np.lib.format.write_array_header_1_0(self._file, header)
            self._seek(count)
            self._file.truncate()
        self._file.close()

    def _seek(self, row: int) -> None:
        self._file.seek(self._offset + int(row) * self._row.row_bytes)
