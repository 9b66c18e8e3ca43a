"""What was measured, as tables. What was not measured is an empty cell."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kd_tf.reporting.layout import Table
from kd_tf.reporting.rows import Row, measured_scores
from kd_tf.results import CompressionRecord, DataRecord, Results
from kd_tf.tasks import get_task

# {key of a row: (title of its column, format of its cells)}
_MAIN = {
    "model": ("model", ""),
    "test_score": ("test {score}", ".4f"),
    "parameters": ("parameters", ","),
    "bytes": ("bytes", ","),
    "gzip_bytes": ("gzip", ","),
    "p50_ms": ("p50 ms", ".4f"),
}
_DETAILS = {
    "model": ("model", ""),
    "agreement": ("agreement with Keras", ".4f"),
    "validation_score": ("validation {score}", ".4f"),
    "best_epoch": ("best epoch", ""),
    "p95_ms": ("p95 ms", ".4f"),
    "peak_memory_mb": ("peak memory MB", ".1f"),
}
_SCORE_TITLES = {"ece": "calibration error"}
_MANY_CLASSES = 30  # a longer table is folded away at first


def main_table(rows: Sequence[Row], score: str) -> Table:
    """The table that a run ends with.

    Args:
        rows: Rows of `result_rows`.
        score: The task's score, in words.
    """
    return _table(rows, _MAIN, score)


def details_table(rows: Sequence[Row], score: str) -> Table:
    """What the main table has no room for.

    Args:
        rows: Rows of `result_rows`.
        score: The task's score, in words.
    """
    return _table(rows, _DETAILS, score)


def scores_table(results: Results) -> Table | None:
    """All other scores on the test split, a column for each.

    Args:
        results: A finished run.

    Returns:
        `Table`, or None if there are none.
    """
    own = get_task(results.data.task).score
    scores = [
        (variant.title, measured_scores(results, variant.name))
        for variant in results.variants
    ]
    keys = dict.fromkeys(key for _, row in scores for key in row)
    keys.pop(own, None)
    if not keys:
        return None
    cells = [
        [title, *(_cell(row, key, ".4f") for key in keys)]
        for title, row in scores
        if row
    ]
    titles = [_SCORE_TITLES.get(key, key.replace("_", " ")) for key in keys]
    return Table(["model", *titles], cells)


def per_class_table(
    class_names: Sequence[str],
    columns: Sequence[tuple[str, Sequence[float | None]]],
    *,
    unit: str,
    score: str,
) -> Table:
    """One score of every class or value.

    Args:
        class_names: C names.
        columns: (title, C numbers, None or NaN where there is none).
        unit: What one of them is: "class" or "value".
        score: The score in words.
    """
    titles, values = zip(*columns, strict=True)
    cells = [
        [name, *map(_number, row)]
        for name, *row in zip(class_names, *values, strict=True)
    ]
    count = len(class_names)
    plural = f"{unit}es" if unit.endswith("s") else f"{unit}s"
    summary = f"{count} {plural}" if count > _MANY_CLASSES else None
    return Table([f"{unit}: {score}", *titles], cells, summary)


def sparsity_table(record: CompressionRecord) -> Table:
    """Layer by layer: what was zeroed, and what was left whole and why."""
    cells = [
        [
            layer.layer,
            f"{layer.weights:,}",
            _number(layer.kernel_sparsity),
            layer.skipped or "",
        ]
        for layer in record.layers
    ]
    headers = ["layer", "weights", "kernel sparsity", "left whole because"]
    return Table(headers, cells, "Every layer")


def examples_table(data: DataRecord) -> Table:
    """How many examples each split has, and of which classes."""
    counted = get_task(data.task).counted
    cells = [["all", *(f"{count:,}" for count in data.examples.values())]]
    if counted and data.examples_per_class:
        counts = zip(
            *(data.examples_per_class[split] for split in data.examples),
            strict=True,
        )
        for name, row in zip(data.class_names, counts, strict=True):
            cells.append([name, *(f"{count:,}" for count in row)])
    return Table([counted or "examples", *data.examples], cells)


def jobs_table(results: Results) -> Table:
    """How long every job took, and over how many epochs it trained."""
    cells = [
        [job, _epochs(results, job) or "", _duration(seconds)]
        for job, seconds in results.seconds.items()
    ]
    cells.append(["all", "", _duration(sum(results.seconds.values()))])
    return Table(["job", "epochs", "time"], cells)


def _epochs(results: Results, job: str) -> int:
    return sum(
        len(results.trainings[variant.name].history)
        for variant in results.variants
        if variant.made_by == job and variant.name in results.trainings
    )


def _table(
    rows: Sequence[Row], columns: dict[str, tuple[str, str]], score: str
) -> Table:
    headers = [title.format(score=score) for title, _ in columns.values()]
    cells = [
        [_cell(row, key, digits) for key, (_, digits) in columns.items()]
        for row in rows
    ]
    return Table(headers, cells)


def _cell(row: Mapping[str, Any], key: str, digits: str) -> str:
    return format(row[key], digits) if key in row else ""


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4f}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
    )
