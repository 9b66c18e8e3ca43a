"""Several runs on one page: their figures side by side, their configs apart."""

import dataclasses
import os
from functools import partial

from kd_tf.reporting import quality, tables
from kd_tf.reporting.answers import class_scores
from kd_tf.reporting.headline import gain_of_distillation
from kd_tf.reporting.layout import Section, Table
from kd_tf.reporting.page import render, write_files
from kd_tf.reporting.tradeoff import tradeoff_pictures
from kd_tf.reporting.training import ROLES, over_epochs, overlaid
from kd_tf.tasks import TASKS
from kd_tf.tasks.scoring import load_arrays

_LONGEST = 24  # letters of a label in a picture
_COLUMNS = {
    "file": ("{score} of the file", ".4f"),
    "change": ("against its teacher", "+.4f"),
    "teacher": ("teacher", ".4f"),
    "control": ("student on labels", ".4f"),
    "student": ("student distilled", ".4f"),
    "gain": ("gain of distillation", "+.4f"),
    "bytes": ("bytes", ","),
    "p50_ms": ("p50 ms", ".4f"),
    "seed": ("seed", ""),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        label: What the page calls it; no two alike.
        results: Its `report.json`.
        verification: Folder with its `curves.npz`, or None.
    """

    label: str
    results: dict
    verification: str | None

    @property
    def stages(self):
        return self.results["stages"]

    @property
    def released(self):
        return self.stages["export"]["released"]

    def arrays(self):
        """What there is to draw of the released file, or {}."""
        if not self.verification:
            return {}
        path = os.path.join(self.verification, "curves.npz")
        return load_arrays(path).get(self.released, {})


def write_comparison(runs, differences, folder):
    """Writes `compare.html`, `compare.md` and their pictures.

    Args:
        runs: List of `Run`, of one task.
        differences: {key of the configs: its value in every run, as text}.
        folder: Existing folder to write into.

    Returns:
        The names of the files, relative to the folder.
    """
    task = TASKS[runs[0].stages["prepare"]["task"]]
    arrays = {run.label: run.arrays() for run in runs}
    found = [
        _results(runs, task),
        _configs(runs, differences),
        _cost(runs, task),
        _training(runs, task),
        _classes(runs, arrays),
        _curves(runs, arrays),
        _machines(runs),
    ]
    found = [section for section in found if not section.is_empty]
    view = {"sections": found, "names": [run.label for run in runs]}
    pages = {
        "compare.html": render("compare.html", view),
        "compare.md": render("compare.md", view),
    }
    return write_files(pages, found, folder)


def _results(runs, task):
    known = [_figures(run) for run in runs]
    columns = [key for key in _COLUMNS if any(key in row for row in known)]
    cells = [
        [
            run.label,
            *(
                format(row[key], _COLUMNS[key][1]) if key in row else ""
                for key in columns
            ),
            "; ".join(run.stages.get("verify", {}).get("missed", [])),
        ]
        for run, row in zip(runs, known, strict=True)
    ]
    titles = [_COLUMNS[key][0].format(score=task.title) for key in columns]
    make = partial(tables.as_table, cells, ["run", *titles, "refused for"])
    text = (
        "Scores are of the test split. One seed is one seed: small "
        "differences may be chance.",
    )
    return Section("Results", text, tables=(Table(make),))


def _figures(run):
    """What the first table has of a run; what was not measured is absent."""
    rows = {row["id"]: row for row in run.results["rows"]}
    file = rows[run.released]
    found = {
        row: rows[row].get("test_score")
        for row in ("teacher", "control", "student")
    }
    found["file"] = file.get("test_score")
    if None not in (found["file"], found["teacher"]):
        found["change"] = found["file"] - found["teacher"]
    found["gain"] = gain_of_distillation(run.results["rows"])
    found.update({key: file.get(key) for key in ("bytes", "p50_ms")})
    found["seed"] = run.results["seed"]
    return {key: value for key, value in found.items() if value is not None}


def _configs(runs, differences):
    if not differences:
        return Section("Configs", ("The configs are the same.",))
    cells = [[key, *values] for key, values in differences.items()]
    headers = ["key that differs", *(run.label for run in runs)]
    return Section(
        "Configs",
        tables=(Table(partial(tables.as_table, cells, headers)),),
    )


def _drawn(runs):
    """{label: label short enough for a legend}."""
    return {
        run.label: run.label
        if len(run.label) <= _LONGEST
        else f"{number}: …{run.label[4 - _LONGEST :]}"
        for number, run in enumerate(runs, 1)
    }


def _cost(runs, task):
    names = _drawn(runs)
    rows = [
        {**row, "run": names[run.label]}
        for run in runs
        for row in run.results["rows"]
    ]
    pictures = tradeoff_pictures(rows, task.title)
    return Section("Score and cost", pictures=pictures)


def _training(runs, task):
    names, pictures = _drawn(runs), []
    for stage in ROLES:
        lines = {}
        for run in runs:
            history = run.stages.get(stage, {}).get("history", [])
            values = over_epochs(history, f"val_{task.score}")
            if values:
                lines[names[run.label]] = values
        if lines:
            pictures.append(overlaid(stage, task.title, lines))
    return Section("Training", pictures=pictures)


def _classes(runs, arrays):
    columns, names, headers = [], {}, []
    for run in runs:
        found = class_scores(run.stages, run.released, arrays[run.label])
        if found:
            score, scores = found
            of_class = dict(
                zip(run.stages["prepare"]["class_names"], scores, strict=True)
            )
            columns.append(of_class)
            names.update(of_class)
            headers.append(run.label)
    if not columns:
        return Section("Every class")
    lists = [[column.get(name) for name in names] for column in columns]
    headers = [f"class: {score}", *headers]
    make = partial(tables.per_class_table, list(names), lists, headers)
    return Section("Every class", tables=(Table(make),))


def _curves(runs, arrays):
    titles = _drawn(runs)
    arrays = {label: found for label, found in arrays.items() if found}
    pictures = []
    if arrays and all("precision" in found for found in arrays.values()):
        pictures.append(quality.micro_average_picture(arrays, titles))
    if arrays and all("calibration_count" in a for a in arrays.values()):
        pictures.append(quality.calibration_picture(arrays, titles))
    return Section("Curves of the files", pictures=pictures)


def _machines(runs):
    cells = []
    for run in runs:
        environment = run.results["environment"]
        commit = (environment["git_commit"] or "unknown")[:12]
        seconds = sum(run.results.get("seconds", {}).values())
        cells.append(
            [
                run.label,
                environment["machine"],
                commit
                + (", changed since" if environment["git_dirty"] else ""),
                f"{seconds:.1f}" if seconds else "",
            ]
        )
    headers = ["run", "machine", "commit", "seconds"]
    text = ()
    if len({machine for _, machine, *_ in cells}) > 1:
        text = ("Latencies are of different machines.",)
    make = partial(tables.as_table, cells, headers)
    return Section("Made with", text, tables=(Table(make),))
