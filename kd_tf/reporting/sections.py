"""The sections of a run's page, in order; what was not measured has none."""

import dataclasses
import os
from collections.abc import Callable
from functools import partial

import numpy as np

from kd_tf.reporting import quality, tables
from kd_tf.reporting.examples import Shown, example_pictures
from kd_tf.reporting.tradeoff import tradeoff_pictures
from kd_tf.reporting.training import (
    ROLES,
    schedule_picture,
    training_pictures,
)
from kd_tf.scoring import load_arrays
from kd_tf.tasks import TASKS


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, and what it is called if it is folded away at first.

    Attributes:
        make: Function of `tablefmt`, "github" or "html", to text.
        summary: What a folded table is called; None if it stands open.
    """

    make: Callable
    summary: str | None = None


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is under it: lines of text, tables, pictures."""

    title: str
    text: tuple = ()
    findings: tuple = ()
    tables: tuple = ()
    pictures: tuple = ()

    @property
    def id(self):
        return "-".join(self.title.lower().split())

    @property
    def is_empty(self):
        return not (self.text or self.tables or self.pictures)


def sections(results, rows, verification):
    """All sections that there is something to say in.

    Args:
        results: As `kd_tf.write_report` takes them.
        rows: Rows of `kd_tf.reporting.tables.result_rows`.
        verification: Folder with `curves.npz` and `shown.npz`, or None.

    Returns:
        List of `Section`.
    """
    stages = results["stages"]
    title = TASKS[stages["prepare"]["task"]].title
    found = [
        Section("Score and cost", pictures=tradeoff_pictures(rows, title)),
        *_answers(stages, verification),
        _training(stages),
        _schedules(results),
        _first_step(stages.get("distill", {})),
        _pruning(stages.get("prune", {})),
        _data(stages["prepare"]),
    ]
    return [section for section in found if not section.is_empty]


def compared(stages, known):
    """Teacher, student and file, as far as they are known, the file last.

    Args:
        stages: {stage: what it found}.
        known: Rows there is something of.

    Returns:
        {row: title}.
    """
    exported = stages["export"]
    wanted = ("teacher", exported["made_from"], exported["delivered"])
    return {row: tables.TITLES[row] for row in wanted if row in known}


def class_scores(stages, row, arrays):
    """What each class comes to: (name of the score, one number a class).

    Args:
        stages: {stage: what it found}.
        row: Row of the table.
        arrays: What `curves.npz` has of that row, or {}.
    """
    numbers = tables.numbers_of(stages, row)
    for key in ("iou_per_class", "average_precision_per_class"):
        if key in numbers:
            return key, numbers[key]
    if "mae_per_value" in numbers:
        return "mae_per_value", numbers["mae_per_value"]
    if "precision" in arrays:
        areas = quality.average_precision(arrays)[:-1]
        return "average_precision_per_class", areas.tolist()
    return None


def _answers(stages, verification):
    if not verification:
        return []
    arrays = load_arrays(os.path.join(verification, "curves.npz"))
    titles = compared(stages, arrays)
    known = {row: arrays[row] for row in titles}
    names = stages["prepare"]["class_names"]
    what = "value" if TASKS[stages["prepare"]["task"]].has_values else "class"
    return [
        Section(
            f"Every {what}",
            tables=_class_tables(stages, known, names, what),
            pictures=_class_pictures(known, titles, names),
        ),
        _confusion(stages, known, names),
        _examples(stages["prepare"], titles, verification),
    ]


def _class_tables(stages, arrays, names, what):
    found = {row: class_scores(stages, row, arrays[row]) for row in arrays}
    found = {row: scores for row, scores in found.items() if scores}
    if not found:
        return ()
    key = next(iter(found.values()))[0]
    of = key.removesuffix("_per_class").removesuffix("_per_value")
    of = {"iou": "IoU", "mae": "mean absolute error"}.get(of, of)
    headers = [f"{what}: {of.replace('_', ' ')}"]
    headers += [tables.TITLES[row] for row in found]
    columns = [scores for _, scores in found.values()]
    make = partial(tables.per_class_table, names, columns, headers)
    folded = f"{len(names)} {what}es" if len(names) > 30 else None
    return (Table(make, folded),)


def _class_pictures(arrays, titles, names):
    *_, found = arrays.values()
    if "answers" in found:
        return quality.value_pictures(arrays, titles, names)
    pictures = quality.precision_recall_pictures(arrays, titles, names)
    if "calibration_count" in found:
        calibration = quality.calibration_picture(arrays, titles)
        pictures.insert(1, calibration)
    return pictures


def _confusion(stages, arrays, names):
    found = arrays[stages["export"]["delivered"]]
    if "confusion" not in found:
        return Section("Confusion")
    picture = quality.confusion_picture(
        found["confusion"], names, "student.tflite"
    )
    cells = quality.confusions(found["confusion"], names)
    headers = ["truth", "answered instead", "times", "of its class"]
    make = partial(tables.as_table, cells, headers)
    return Section(
        "Confusion",
        tables=(Table(make),) if cells else (),
        pictures=(picture,),
    )


def _examples(prepared, titles, verification):
    with np.load(os.path.join(verification, "shown.npz")) as found:
        arrays = dict(found)
    answers = {}
    for row, title in titles.items():
        of_keras = f"answers/{row} in Keras"
        key = of_keras if of_keras in arrays else f"answers/{row}"
        answers[title] = arrays[key]
    shown = Shown(arrays["x"], arrays["y"], arrays["numbers"], answers)
    pictures = example_pictures(
        shown,
        prepared["task"],
        prepared["class_names"],
        prepared.get("palette"),
        prepared.get("sample_rate"),
    )
    order = "Test examples with the greatest loss of the file, worst first."
    if TASKS[prepared["task"]].per_pixel:
        order = "Test images from the file's worst to its best."
    return Section("Examples", (order,) if pictures else (), pictures=pictures)


def _training(stages):
    task = TASKS[stages["prepare"]["task"]]
    pictures = []
    for stage in ROLES:
        result = stages.get(stage, {})
        if result.get("history"):
            pictures += training_pictures(
                stage, result, task.score, task.title
            )
    return Section("Training", pictures=pictures)


def _schedules(results):
    pictures = []
    for quantity, schedules in results.get("schedules", {}).items():
        trained = {
            stage: schedule
            for stage, schedule in schedules.items()
            if results["stages"].get(stage, {}).get("history")
        }
        if trained:
            pictures.append(schedule_picture(quantity, trained))
    return Section("Schedules", pictures=pictures)


def _first_step(distilled):
    diagnosis = distilled.get("diagnosis")
    if not diagnosis:
        return Section("Distillation at its first step")
    text = [f"{diagnosis['summary']}."]
    adapters = distilled.get("adapter_parameters")
    if adapters:
        text.append(
            f"Adapters: {adapters:,} parameters, dropped at the end."
        )
    nothing = ("Nothing that would call for a remedy.",)
    return Section(
        "Distillation at its first step",
        tuple(text),
        tuple(diagnosis["findings"]) or nothing,
    )


def _pruning(pruned):
    record = pruned.get("pruning")
    if not record:
        return Section("Pruning")
    make = partial(tables.sparsity_table, record)
    share = f"{100 * record['sparsity']:.1f} % of all weights are zero."
    return Section("Pruning", (share,), tables=(Table(make, "Every layer"),))


def _data(prepared):
    found = []
    if "examples" in prepared:
        found.append(Table(partial(tables.examples_table, prepared)))
    skipped = prepared.get("skipped", [])
    if skipped:
        make = partial(tables.as_table, skipped, ["example", "why"])
        found.append(Table(make, f"Left out: {len(skipped)} examples"))
    return Section("Data", tables=tuple(found))
