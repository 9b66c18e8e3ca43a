"""Lines of a table: from text to numbers, and what is wrong with them."""

import contextlib
import csv
import dataclasses

import numpy as np

from kd_tf.data.decoding.files import BadFile

_DELIMITERS = ",;\t"
_GREATEST = float(np.finfo("float32").max)


@dataclasses.dataclass(frozen=True)
class Table:
    """Where a table lies and which of its columns are what.

    Attributes:
        path: The file.
        delimiter: What parts its columns.
        header: Names of all columns.
        features: Names of F columns to learn from.
        targets: Names of V columns to learn.
        task: `classification`, `multilabel` or `regression`.
        name_column: Column that names the examples, or None.
    """

    path: str
    delimiter: str
    header: list[str]
    features: list[str]
    targets: list[str]
    task: str
    name_column: str | None

    def lines(self, problems):
        """Reads the good lines, one by one.

        Args:
            problems: List that the others are appended to, as (line, what).

        Yields:
            (name or None, list of F floats, target): the text of a class, or
            a list of V floats.
        """
        with _open(self.path) as file:
            reader = csv.reader(file, delimiter=self.delimiter, strict=True)
            next(reader)
            while True:
                try:
                    cells = next(reader, None)
                    if cells is None:
                        return
                    if cells:
                        yield self._parse(cells)
                except (BadFile, csv.Error) as error:
                    problems.append((f"line {reader.line_num}", str(error)))

    def _parse(self, cells):
        if len(cells) != len(self.header):
            raise BadFile(
                f"has {len(cells)} cells, the header has {len(self.header)}"
            )
        texts = dict(zip(self.header, map(str.strip, cells), strict=True))
        faults = []
        x = [_number(texts, column, faults) for column in self.features]
        if self.task == "classification":
            y = texts[self.targets[0]]
            _check_text(texts, self.targets[0], faults)
        else:
            y = [_number(texts, column, faults) for column in self.targets]
        if self.task == "multilabel" and not faults:
            faults += [
                f"column '{column}' is neither 0 nor 1: '{texts[column]}'"
                for column, value in zip(self.targets, y, strict=True)
                if value not in (0, 1)
            ]
        if self.name_column is not None:
            _check_text(texts, self.name_column, faults)
        if faults:
            raise BadFile("; ".join(faults))
        return texts.get(self.name_column), x, y


def read_header(path):
    """Names of the columns, and what parts them.

    Raises:
        ValueError: if there is no header, or a name stands there twice.
    """
    with _open(path) as file:
        line = file.readline()
        delimiter = max(_DELIMITERS, key=line.count)
        file.seek(0)
        cells = next(csv.reader(file, delimiter=delimiter), [])
    header = [cell.strip() for cell in cells]
    twice = sorted({name for name in header if header.count(name) > 1})
    if not header or twice:
        raise ValueError(
            f"{path} has no header. Allowed: a first line that names every "
            "column once. Received: "
            + (f"'{', '.join(twice)}' twice" if twice else "an empty line")
        )
    return header, delimiter


def _number(texts, column, faults):
    try:
        value = float(texts[column])
    except ValueError:
        value = float("nan")
    if not abs(value) <= _GREATEST:
        text = texts[column]
        what = f"is no number: '{text}'" if text else "is empty"
        faults.append(f"column '{column}' {what}")
    return value


def _check_text(texts, column, faults):
    if not texts[column]:
        faults.append(f"column '{column}' is empty")


@contextlib.contextmanager
def _open(path):
    try:
        # Excel begins its files with a mark that is no part of the header.
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield file
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read as a table. Allowed: a text file in "
            f"UTF-8. Received: {error}"
        ) from error
