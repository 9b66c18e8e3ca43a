"""The main figures of several runs, a row for each run."""

from collections.abc import Sequence

from kd_tf.reporting.gains import distillation_gains
from kd_tf.reporting.layout import Table
from kd_tf.reporting.rows import Row, result_rows
from kd_tf.results import Results
from kd_tf.tasks import get_task

Column = tuple[str, list[str]]


def run_table(labels: Sequence[str], runs: Sequence[Results]) -> Table:
    """Puts the scores and costs of runs side by side.

    The Keras models shown are those that all runs have, by title. A column
    without any figure is left out.

    Args:
        labels: What the runs are called.
        runs: Results of one task.
    """
    title = get_task(runs[0].data.task).title
    rows = [{row["id"]: row for row in result_rows(run)} for run in runs]
    files = [row[run.released] for run, row in zip(runs, rows, strict=True)]
    columns = [
        (f"{title} of the file", [_cell(file, "test_score") for file in files]),
        ("against reference", [*map(_change, runs, rows)]),
        *_model_columns(runs, rows),
        *_gain_columns(runs),
        ("bytes", [_cell(file, "bytes", ",") for file in files]),
        ("p50 ms", [_cell(file, "p50_ms") for file in files]),
        ("seed", [str(run.seed) for run in runs]),
    ]
    columns = [column for column in columns if any(column[1])]
    # This column stands even if no run missed a limit.
    refused = ["; ".join(map(str, run.missed)) for run in runs]
    headers, cells = zip(*columns, ("refused for", refused), strict=True)
    return Table(["run", *headers], [*zip(labels, *cells, strict=True)])


def _model_columns(
    runs: Sequence[Results], rows: Sequence[dict[str, Row]]
) -> list[Column]:
    """The score of every Keras model that all runs have."""
    names = [
        {v.title: v.name for v in run.variants if not v.is_file} for run in runs
    ]
    return [
        (
            title,
            [
                _cell(row[name[title]], "test_score")
                for name, row in zip(names, rows, strict=True)
            ],
        )
        for title in names[0]
        if all(title in name for name in names)
    ]


def _gain_columns(runs: Sequence[Results]) -> list[Column]:
    gains = [
        {gain.variant.title: f"{gain.amount:+.4f}" for gain in of_run}
        for of_run in map(distillation_gains, runs)
    ]
    titles = dict.fromkeys(title for of_run in gains for title in of_run)
    return [
        (f"gain of {title}", [of_run.get(title, "") for of_run in gains])
        for title in titles
    ]


def _change(run: Results, rows: dict[str, Row]) -> str:
    """Score of the released file minus that of the reference."""
    file = rows[run.released].get("test_score")
    reference = rows.get(run.reference or "", {}).get("test_score")
    if file is None or reference is None:
        return ""
    return f"{file - reference:+.4f}"


def _cell(row: Row, key: str, digits: str = ".4f") -> str:
    return format(row[key], digits) if key in row else ""
