"""Examples -> the two `.npy` files of a split, row by row in any order."""

import numpy as np

from kd_tf.tasks import TASKS


class SplitWriter:
    """Writes examples of one split to their rows, whatever order they come.

    Args:
        split: `Split` to write.
        size: ArraySpec it may have; those never written are closed up.
        source: `Source` of the examples.
    """

    def __init__(self, split, size, source):
        self._task = TASKS[source.task]
        self._num_classes = len(source.class_names)
        self._per_class = np.zeros(self._num_classes, int)
        is_float = source.example.dtype.startswith("float")
        has_scale = is_float and source.sample_rate is None
        self._scale = _Moments() if has_scale else None
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
    """Mean and standard deviation of each last axis's entry, as rows come."""

    def __init__(self):
        self._count, self._sum, self._square = 0, 0.0, 0.0
        self._origin = None

    def update(self, values):
        if not len(values):
            return
        values = values.reshape(-1, values.shape[-1]).astype(float)
        if self._origin is None:
            # Squares of what is far from zero would swallow the differences.
            self._origin = values[0]
        values = values - self._origin
        self._count += len(values)
        self._sum = self._sum + values.sum(axis=0)
        self._square = self._square + np.square(values).sum(axis=0)

    def result(self):
        mean = self._sum / self._count
        variance = self._square / self._count - mean**2
        # What never changes tells nothing, and must not be divided by 0.
        std = np.where(variance > 0, np.sqrt(np.maximum(variance, 0)), 1)
        return {"mean": (mean + self._origin).tolist(), "std": std.tolist()}


class _RowFile:
    """A `.npy` file written row by row.

    Written through a file, not a map, whose pages would count as memory.
    """

    def __init__(self, path, size, rows):
        self._rows, self._size = rows, size
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
