"""Several runs on one page: their figures side by side, their configs apart."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import numpy as np

from kd_tf.reporting.curves import (
    all_have,
    calibration_picture,
    micro_average_picture,
)
from kd_tf.reporting.layout import Section, Table
from kd_tf.reporting.looks import look
from kd_tf.reporting.page import Folder, render, write_pages
from kd_tf.reporting.rows import result_rows
from kd_tf.reporting.run_table import run_table
from kd_tf.reporting.series import Series
from kd_tf.reporting.tables import per_class_table
from kd_tf.reporting.tradeoff import Point, tradeoff_pictures
from kd_tf.reporting.training import over_epochs, overlaid_picture
from kd_tf.results import Results
from kd_tf.tasks import Task, get_task
from kd_tf.tasks.curves import load_arrays

_LONGEST = 24  # letters of a label in a picture


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run to compare with others.

    Attributes:
        label: What the page calls it; no two alike.
        results: What was made and measured.
        verification: Folder with its `curves.npz`, or None.
    """

    label: str
    results: Results
    verification: Folder | None

    def arrays(self) -> dict[str, np.ndarray]:
        """What there is to draw of the released file, or {}."""
        if self.verification is None:
            return {}
        path = os.path.join(self.verification, "curves.npz")
        return load_arrays(path).get(self.results.released, {})


def write_comparison(
    runs: Sequence[FinishedRun],
    differences: Mapping[str, Sequence[str]],
    folder: Folder,
) -> list[str]:
    """Writes `compare.html`, `compare.md` and their pictures.

    Args:
        runs: Runs of one task.
        differences: {key of the configs: its value in every run, as text}.
        folder: Existing folder to write into.

    Returns:
        The names of the files, relative to the folder.
    """
    task = get_task(runs[0].results.data.task)
    sections = [
        _results(runs),
        _configs(runs, differences),
        _cost(runs, task),
        _training(runs, task),
        _classes(runs, task),
        _curves(runs),
        _machines(runs),
    ]
    sections = [section for section in sections if not section.is_empty]
    view = {"sections": sections, "names": [run.label for run in runs]}
    pages = {
        "compare.html": render("comparison.html", view),
        "compare.md": render("comparison.md", view),
    }
    return write_pages(pages, sections, folder)


def _results(runs: Sequence[FinishedRun]) -> Section:
    text = (
        "Scores are of the test split. One seed is one seed: small "
        "differences may be chance."
    )
    labels = [run.label for run in runs]
    table = run_table(labels, [run.results for run in runs])
    return Section("Results", [text], tables=[table])


def _configs(
    runs: Sequence[FinishedRun], differences: Mapping[str, Sequence[str]]
) -> Section:
    if not differences:
        return Section("Configs", ["The configs are the same."])
    cells = [[key, *values] for key, values in differences.items()]
    headers = ["key that differs", *(run.label for run in runs)]
    return Section("Configs", tables=[Table(headers, cells)])


def _cost(runs: Sequence[FinishedRun], task: Task) -> Section:
    titles = _titles(runs)
    points = [
        Point(
            f"{label}: {row['model']}",
            look(number).color,
            look(titles.index(row["model"])).marker,
            row,
        )
        for number, (label, run) in enumerate(_labelled(runs))
        for row in result_rows(run.results)
    ]
    return Section(
        "Score and cost", pictures=tradeoff_pictures(points, task.title)
    )


def _training(runs: Sequence[FinishedRun], task: Task) -> Section:
    pictures = []
    for title in _titles(runs):
        lines = {}
        for number, (label, run) in enumerate(_labelled(runs)):
            points = over_epochs(
                _history(run.results, title), f"val_{task.score}"
            )
            if points:
                lines[label] = (number, points)
        if lines:
            pictures.append(overlaid_picture(title, task.title, lines))
    return Section("Training", pictures=pictures)


def _classes(runs: Sequence[FinishedRun], task: Task) -> Section:
    """A table for each score that is known class by class."""
    columns: dict[str, list[tuple[str, dict[str, float | None]]]] = {}
    for run in runs:
        record = run.results.scores_of(run.results.released)
        for score, values in (record.per_class if record else {}).items():
            names = run.results.data.class_names
            of_class = dict(zip(names, values, strict=True))
            columns.setdefault(score, []).append((run.label, of_class))
    tables = [
        _class_table(of_runs, task.unit, score)
        for score, of_runs in columns.items()
    ]
    return Section(f"Every {task.unit}", tables=tables)


def _class_table(
    columns: Sequence[tuple[str, dict[str, float | None]]],
    unit: str,
    score: str,
) -> Table:
    names = list(dict.fromkeys(name for _, row in columns for name in row))
    return per_class_table(
        names,
        [(label, [row.get(n) for n in names]) for label, row in columns],
        unit=unit,
        score=score,
    )


def _curves(runs: Sequence[FinishedRun]) -> Section:
    series = [
        Series(label, look(number), run.arrays())
        for number, (label, run) in enumerate(_labelled(runs))
    ]
    series = [one for one in series if one.arrays]
    pictures = []
    if all_have(series, "precision"):
        pictures.append(micro_average_picture(series))
    if all_have(series, "calibration_count"):
        pictures.append(calibration_picture(series))
    return Section("Curves of the files", pictures=pictures)


def _machines(runs: Sequence[FinishedRun]) -> Section:
    cells = []
    for run in runs:
        environment = run.results.environment
        commit = (environment.git_commit or "unknown")[:12]
        changed = ", changed since" if environment.git_dirty else ""
        seconds = sum(run.results.seconds.values())
        cells.append(
            [
                run.label,
                environment.machine,
                f"{commit}{changed}",
                f"{seconds:.1f}" if seconds else "",
            ]
        )
    text = []
    if len({run.results.environment.machine for run in runs}) > 1:
        text.append("Latencies are of different machines.")
    table = Table(["run", "machine", "commit", "seconds"], cells)
    return Section("Made with", text, tables=[table])


def _titles(runs: Sequence[FinishedRun]) -> list[str]:
    """Titles of all variants of all runs, each once."""
    variants = [v for run in runs for v in run.results.variants]
    return list(dict.fromkeys(variant.title for variant in variants))


def _history(results: Results, title: str) -> list[dict[str, float]]:
    """How the variant of a title was trained, or []."""
    for variant in results.variants:
        if variant.title == title and variant.name in results.trainings:
            return results.trainings[variant.name].history
    return []


def _labelled(
    runs: Sequence[FinishedRun],
) -> list[tuple[str, FinishedRun]]:
    """(label short enough for a legend, run)."""
    return [
        (
            run.label
            if len(run.label) <= _LONGEST
            else f"{number}: …{run.label[4 - _LONGEST :]}",
            run,
        )
        for number, run in enumerate(runs, 1)
    ]
