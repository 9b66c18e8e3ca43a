"""The sections on what was answered to the test split."""

import os
from functools import partial

import numpy as np

from kd_tf.reporting import quality, tables
from kd_tf.reporting.examples import Shown, example_pictures
from kd_tf.reporting.layout import Section, Table
from kd_tf.tasks import TASKS
from kd_tf.tasks.scoring import load_arrays

_OF_CLASS = {
    "iou_per_class": "IoU",
    "average_precision_per_class": "average precision",
    "mae_per_value": "mean absolute error",
}


def answers_sections(stages, verification):
    """Class by class, confusions, examples.

    Args:
        stages: {stage: what it found}.
        verification: Folder with `curves.npz` and `shown.npz`, or None.

    Returns:
        List of `Section`; some may be empty.
    """
    if not verification:
        return []
    arrays = load_arrays(os.path.join(verification, "curves.npz"))
    titles = _compared(stages, arrays)
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


def class_scores(stages, row, arrays):
    """What each class comes to: (the score in words, one number a class).

    Args:
        stages: {stage: what it found}.
        row: Row of the table.
        arrays: What `curves.npz` has of that row, or {}.
    """
    numbers = tables.numbers_of(stages, row)
    for key, title in _OF_CLASS.items():
        if key in numbers:
            return title, numbers[key]
    if "precision" in arrays:
        areas = quality.average_precision(arrays)[:-1]
        return _OF_CLASS["average_precision_per_class"], areas.tolist()
    return None


def _compared(stages, known):
    """{row: title} of teacher, student and file, as far as known, it last."""
    exported = stages["export"]
    wanted = ("teacher", exported["made_from"], exported["released"])
    return {row: tables.TITLES[row] for row in wanted if row in known}


def _class_tables(stages, arrays, names, what):
    found = {row: class_scores(stages, row, arrays[row]) for row in arrays}
    found = {row: scores for row, scores in found.items() if scores}
    if not found:
        return ()
    score = next(iter(found.values()))[0]
    headers = [f"{what}: {score}", *(tables.TITLES[row] for row in found)]
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
    found = arrays[stages["export"]["released"]]
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
