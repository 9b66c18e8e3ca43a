"""Tables: one example a line, its features and its target in columns.

F features an example, V target columns.
"""

import contextlib
import csv
import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

import numpy as np

from kd_tf.data.sources.source import (
    CLASS_NUMBER,
    ArraySpec,
    Examples,
    InvalidData,
    Problems,
    Source,
    numbered,
)
from kd_tf.ranges import Path
from kd_tf.tasks import TASKS, get_task

_CHUNK = 4096  # lines
_DELIMITERS = ",;\t"
_GREATEST = float(np.finfo("float32").max)
_DTYPES = {"flags": "uint8", "numbers": "float32"}  # of targets


def csv_source(
    path: Path,
    *,
    target: str | Sequence[str],
    task: str,
    features: Sequence[str] | None = None,
    name_column: str | None = None,
) -> Source:
    """Reads a table with a header line, in UTF-8.

    Columns are separated by commas, semicolons or tabs: by what the header
    has most of. The file is read once for its classes and names, and again
    for its examples.

    Args:
        path: The file.
        target: Column to learn, or a list of them.
        task: A name of `kd_tf.tasks.TASKS` whose targets are one column of
            class names, columns of 0 and 1, or columns of numbers.
        features: List of the columns to learn from; None takes all others.
        name_column: Column that names the examples, for groups and patterns;
            not a feature unless it is listed.

    Returns:
        `Source` of float32 (F,) without a test part of its own. Invalid lines
        are left out and listed in its `problems`.

    Raises:
        ValueError: if it is not a table, a column is missing, or there is
            nothing to learn.
    """
    targets = [target] if isinstance(target, str) else list(target)
    holds = _what_targets_hold(task, targets)
    header, delimiter = _read_header(path)
    if features is None:
        others = {*targets, name_column}
        features = [column for column in header if column not in others]
    columns = header, list(features), targets
    _check_columns(path, *columns, name_column)
    table = _Table(path, delimiter, *columns, holds, name_column)
    survey = _survey(table)
    _check_survey(table, survey)
    class_names = survey.class_names
    return Source(
        class_names=class_names,
        example=ArraySpec((len(features),), "float32"),
        train=Examples(
            survey.num_lines,
            lambda: numbered(_chunks(table, class_names)),
            survey.names,
        ),
        test=None,
        target=table.target,
        task=task,
        problems=survey.problems,
    )


@dataclasses.dataclass(frozen=True)
class _Table:
    """A table on disk, and what its columns are.

    Attributes:
        path: The file.
        delimiter: What separates its columns.
        header: Names of all columns.
        features: Names of F columns to learn from.
        targets: Names of V columns to learn.
        holds: What these hold: "class", "flags" or "numbers".
        name_column: Column that names the examples, or None.
    """

    path: str
    delimiter: str
    header: list[str]
    features: list[str]
    targets: list[str]
    holds: str
    name_column: str | None

    @property
    def target(self) -> ArraySpec:
        """`ArraySpec` of a target."""
        if self.holds == "class":
            return CLASS_NUMBER
        return ArraySpec((len(self.targets),), _DTYPES[self.holds])

    def lines(self, problems: Problems) -> Iterator["_Line"]:
        """Reads the valid lines, one by one.

        Args:
            problems: List that the others are appended to.
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
                except (InvalidData, csv.Error) as error:
                    problems.append((f"line {reader.line_num}", str(error)))

    def _parse(self, cells: Sequence[str]) -> "_Line":
        if len(cells) != len(self.header):
            raise InvalidData(
                f"has {len(cells)} cells, the header has {len(self.header)}"
            )
        texts = dict(zip(self.header, map(str.strip, cells), strict=True))
        faults: list[str] = []
        x = [_number(texts, column, faults) for column in self.features]
        y = self._parse_target(texts, faults)
        name = None
        if self.name_column is not None:
            name = _text(texts, self.name_column, faults)
        if faults:
            raise InvalidData("; ".join(faults))
        return _Line(name, x, y)

    def _parse_target(
        self, texts: Mapping[str, str], faults: list[str]
    ) -> str | list[float]:
        if self.holds == "class":
            return _text(texts, self.targets[0], faults)
        y = [_number(texts, column, faults) for column in self.targets]
        if self.holds == "flags" and not faults:
            faults += [
                f"column '{column}' is neither 0 nor 1: '{texts[column]}'"
                for column, value in zip(self.targets, y, strict=True)
                if value not in (0, 1)
            ]
        return y


class _Line(NamedTuple):
    """A valid line: F features, and a class name or V numbers."""

    name: str | None
    x: list[float]
    y: Any


class _Survey(NamedTuple):
    """What the first reading of a table finds."""

    num_lines: int
    class_names: list[str]
    names: list[str] | None
    problems: Problems


def _survey(table: _Table) -> _Survey:
    problems: Problems = []
    is_class = table.holds == "class"
    count, classes, names = 0, set(), []
    for line in table.lines(problems):
        count += 1
        if is_class:
            classes.add(line.y)
        if line.name is not None:
            names.append(line.name)
    class_names = _sort(classes) if is_class else table.targets
    has_names = table.name_column is not None
    return _Survey(count, class_names, names if has_names else None, problems)


def _chunks(
    table: _Table, class_names: Sequence[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    number_of = {name: number for number, name in enumerate(class_names)}
    lines = table.lines([])  # the survey has listed the problems
    while chunk := list(itertools.islice(lines, _CHUNK)):
        y = [line.y for line in chunk]
        if table.holds == "class":
            y = [number_of[name] for name in y]
        x = np.array([line.x for line in chunk], "float32")
        yield x, np.array(y, table.target.dtype)


def _sort(classes: set[str]) -> list[str]:
    """Names in order; numbers as numbers, 2 before 10."""
    try:
        value_of = {text: float(text) for text in classes}
    except ValueError:
        return sorted(classes)
    if not all(map(math.isfinite, value_of.values())):
        return sorted(classes)
    return sorted(classes, key=lambda text: (value_of[text], text))


def _what_targets_hold(task: str, targets: Sequence[str]) -> str:
    holds = get_task(task).target_columns
    if holds is None:
        names = [name for name in TASKS if get_task(name).target_columns]
        raise ValueError(
            f"A table cannot hold the targets of '{task}'. Allowed: "
            f"{', '.join(names)}. Received: '{task}'"
        )
    if not targets or (holds == "class" and len(targets) > 1):
        columns = "one column" if holds == "class" else "at least one column"
        raise ValueError(
            f"`target` must be {columns} for {task}. Received: "
            f"{', '.join(targets) or 'none'}"
        )
    return holds


def _check_columns(
    path: str,
    header: Sequence[str],
    features: Sequence[str],
    targets: Sequence[str],
    name_column: str | None,
) -> None:
    columns = [*targets, *features, *([name_column] if name_column else [])]
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(
            f"{path} lacks columns. Allowed: {', '.join(header)}. Received: "
            + ", ".join(missing)
        )
    if not features or not set(features).isdisjoint(targets):
        raise ValueError(
            "`features` must be at least one column, and no target among "
            f"them. Received: features {', '.join(features) or 'none'}; "
            f"target {', '.join(targets)}"
        )
    if "" in features:
        raise ValueError(
            f"{path} has a column without a name, such as the index that "
            "pandas writes. Name it, or list the columns to learn from as "
            "`features`. Received: "
            + ", ".join(f"'{column}'" for column in header)
        )


def _check_survey(table: _Table, survey: _Survey) -> None:
    too_few = table.holds == "class" and len(survey.class_names) < 2
    if too_few or not survey.num_lines:
        raise ValueError(
            f"{table.path} has nothing to learn: it needs valid lines, and at "
            "least 2 classes if the target is a class. Received: "
            f"{survey.num_lines:,} valid lines, target "
            f"{', '.join(survey.class_names) or 'none'}, "
            f"{len(survey.problems):,} invalid lines"
            + "".join(f"\n  {name}: {why}" for name, why in survey.problems[:3])
        )


def _read_header(path: str) -> tuple[list[str], str]:
    """Names of the columns, and what separates them."""
    with _open(path) as file:
        line = file.readline()
        delimiter = max(_DELIMITERS, key=line.count)
        file.seek(0)
        cells = next(csv.reader(file, delimiter=delimiter), [])
    header = [cell.strip() for cell in cells]
    twice = sorted({name for name in header if header.count(name) > 1})
    if not header or twice:
        raise ValueError(
            f"{path} must begin with a line that names every column once. "
            "Received: "
            + (f"'{', '.join(twice)}' twice" if twice else "an empty line")
        )
    return header, delimiter


def _number(texts: Mapping[str, str], column: str, faults: list[str]) -> float:
    text = texts[column]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= _GREATEST:
        reason = f"is not a valid number: '{text}'" if text else "is empty"
        faults.append(f"column '{column}' {reason}")
    return value


def _text(texts: Mapping[str, str], column: str, faults: list[str]) -> str:
    if not texts[column]:
        faults.append(f"column '{column}' is empty")
    return texts[column]


@contextlib.contextmanager
def _open(path: str) -> Iterator[TextIO]:
    try:
        # Excel begins its files with a mark that is not part of the header.
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield file
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} cannot be read as a table: it must be a text file in "
            f"UTF-8. Received: {error}"
        ) from error
