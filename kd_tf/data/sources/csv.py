"""Tables: one example a line, its features and its target in columns.

F features an example, V targets.
"""

import itertools
import math

import numpy as np

from kd_tf.data.sources.csv_lines import Table, read_header
from kd_tf.data.sources.source import (
    CLASS_NUMBER,
    ArraySpec,
    Examples,
    Source,
    numbered,
)

_CHUNK = 4096
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
    header, delimiter = read_header(path)
    if features is None:
        apart = {*targets, name_column}
        features = [column for column in header if column not in apart]
    _check_columns(path, header, list(features), targets, name_column)
    table = Table(
        path, delimiter, header, list(features), targets, task, name_column
    )
    count, classes, names, problems = _survey(table)
    class_names = _sort(classes) if task == "classification" else targets
    _check_examples(table, count, class_names, problems)
    return Source(
        class_names=class_names,
        example=ArraySpec((len(features),), "float32"),
        train=Examples(
            count, lambda: numbered(_chunks(table, class_names)), names
        ),
        test=None,
        target=_target_rows(table),
        task=task,
        problems=problems,
    )


def _survey(table):
    """What the good lines are, and what is wrong with the others."""
    count, classes, names, problems = 0, set(), [], []
    for name, _, y in table.lines(problems):
        count += 1
        if table.task == "classification":
            classes.add(y)
        if table.name_column is not None:
            names.append(name)
    return count, classes, names if table.name_column else None, problems


def _chunks(table, class_names):
    dtype = _target_rows(table).dtype
    number_of = {name: number for number, name in enumerate(class_names)}
    lines = table.lines([])
    while chunk := list(itertools.islice(lines, _CHUNK)):
        _, x, y = zip(*chunk, strict=True)
        if table.task == "classification":
            y = [number_of[text] for text in y]
        yield np.array(x, "float32"), np.array(y, dtype)


def _target_rows(table):
    if table.task == "classification":
        return CLASS_NUMBER
    dtype = "uint8" if table.task == "multilabel" else "float32"
    return ArraySpec((len(table.targets),), dtype)


def _sort(classes):
    """Names in order; numbers as numbers, 2 before 10."""
    try:
        value_of = {text: float(text) for text in classes}
    except ValueError:
        return sorted(classes)
    if not all(map(math.isfinite, value_of.values())):
        return sorted(classes)
    return sorted(classes, key=lambda text: (value_of[text], text))


def _check_task(task, targets):
    if task not in _TASKS:
        raise ValueError(
            f"A table has no such task. Allowed: {', '.join(_TASKS)}. "
            f"Received: '{task}'"
        )
    if not targets or (task == "classification" and len(targets) > 1):
        raise ValueError(
            "The target is of the wrong length. Allowed: one column of "
            "classes, or a list of columns for multilabel and regression. "
            f"Received: {task} of {', '.join(targets) or 'none'}"
        )


def _check_columns(path, header, features, targets, name_column):
    wanted = [*targets, *features, *([name_column] if name_column else [])]
    missing = [column for column in wanted if column not in header]
    if missing:
        raise ValueError(
            f"{path} lacks columns. Allowed: {', '.join(header)}. Received: "
            + ", ".join(missing)
        )
    told = [column for column in features if column in targets]
    if told or not features:
        raise ValueError(
            "Features must be what the target is guessed from. Allowed: at "
            "least one column, and no target among them. Received: "
            f"{', '.join(features) or 'none'} for {', '.join(targets)}"
        )
    if "" in features:
        raise ValueError(
            f"{path} has a column without a name, such as the index that "
            "pandas writes. Allowed: a name for every column, or "
            "data.features with the ones to learn from. Received: "
            + ", ".join(f"'{column}'" for column in header)
        )


def _check_examples(table, count, class_names, problems):
    few = table.task == "classification" and len(class_names) < 2
    if few or not count:
        bad = [f"{name}: {what}" for name, what in problems[:3]]
        raise ValueError(
            f"{table.path} has nothing to learn. Allowed: good lines, and of "
            "a classification 2 classes in the column "
            f"'{table.targets[0]}'. Received: {count:,} good lines, classes "
            f"{', '.join(class_names) or 'none'}, {len(problems):,} bad lines"
            + "".join(f"\n  {line}" for line in bad)
        )
