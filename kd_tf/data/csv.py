"""Tables: one example a line, its features and its target in columns.

F features an example, V targets.
"""

import csv
import dataclasses
import itertools

import numpy as np

from kd_tf.data.files import BadFile
from kd_tf.data.sources import CLASS_NUMBER, Examples, Rows, Source, numbered

_CHUNK = 4096
_DELIMITERS = ",;\t"
_GREATEST = float(np.finfo("float32").max)
_TASKS = ("classification", "multilabel", "regression")


def csv_source(path, *, target, task, features=None, name_column=None):
    """Reads a table with a header line, in UTF-8.

    Columns are parted by commas, semicolons or tabs: by what the header has
    most of. The file is read once for its classes and names, and again for
    its examples.

    Args:
        path: The file.
        target: Column to learn, or a list of them.
        task: `classification` of one column of class names, `multilabel` of
            columns of 0 and 1, `regression` of columns of numbers.
        features: List of the columns to learn from; None takes all others.
        name_column: Column that names the examples, for groups and patterns;
            no feature unless it is listed.

    Returns:
        `Source` of float32 (F,) without a test part of its own. Lines that
        are bad are left out and told in its `problems`.

    Raises:
        ValueError: if it is no table, a column is missing, or there is
            nothing to learn.
    """
    targets = [target] if isinstance(target, str) else list(target)
    _check_task(task, targets)
    header, delimiter = _read_header(path)
    if features is None:
        apart = {*targets, name_column}
        features = [column for column in header if column not in apart]
    _check_columns(path, header, features, targets, name_column)
    table = _Table(path, delimiter, header, features, targets, task)
    count, classes, names, problems = _survey(table, name_column)
    class_names = targets
    if task == "classification":
        class_names = _sort(classes)
        if len(classes) < 2:
            _refuse_classes(path, targets[0], class_names, problems)
    return Source(
        class_names=class_names,
        example=Rows((len(features),), "float32"),
        train=Examples(
            count, lambda: numbered(_chunks(table, class_names)), names
        ),
        test=None,
        target=table.target,
        task=task,
        problems=problems,
    )


@dataclasses.dataclass(frozen=True)
class _Table:
    """Where the file is and which of its columns are what."""

    path: str
    delimiter: str
    header: list[str]
    features: list[str]
    targets: list[str]
    task: str

    @property
    def target(self):
        if self.task == "classification":
            return CLASS_NUMBER
        dtype = "uint8" if self.task == "multilabel" else "float32"
        return Rows((len(self.targets),), dtype)

    def lines(self, problems):
        """Yields (cells {column: text}, x list (F,), y) of the good lines.

        Args:
            problems: List that the others are appended to.
        """
        with _reading(self.path, self.delimiter) as reader:
            next(reader)
            for cells in reader:
                if not cells:
                    continue
                try:
                    yield self._parse(cells)
                except BadFile as error:
                    problems.append((f"line {reader.line_num}", str(error)))
