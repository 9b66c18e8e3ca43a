"""The sections on what models predict for the test split."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from kd_tf.reporting.confusion import confusion_picture, confusion_table
from kd_tf.reporting.curves import all_have, curve_pictures
from kd_tf.reporting.examples import Shown, example_pictures
from kd_tf.reporting.layout import Section, Table
from kd_tf.reporting.looks import look
from kd_tf.reporting.pictures import Picture
from kd_tf.reporting.series import Series
from kd_tf.reporting.tables import per_class_table
from kd_tf.reporting.values import value_pictures
from kd_tf.results import Results, Variant
from kd_tf.tasks import get_task
from kd_tf.tasks.curves import load_arrays


def prediction_sections(
    results: Results, verification: str | os.PathLike[str]
) -> list[Section]:
    """Class by class, confusions, examples.

    Args:
        results: A finished run.
        verification: Folder with `curves.npz` and `shown.npz`.

    Returns:
        List of `Section`; some may be empty.
    """
    arrays = load_arrays(os.path.join(verification, "curves.npz"))
    variants = [v for v in _of_interest(results) if v.name in arrays]
    series = [
        Series(v.title, look(results.variants.index(v)), arrays[v.name])
        for v in variants
    ]
    return [
        Section(
            f"Every {get_task(results.data.task).unit}",
            tables=_class_tables(results, variants),
            pictures=_class_pictures(series, results.data.class_names),
        ),
        _confusion(results, arrays.get(results.released, {})),
        _examples(results, variants, verification),
    ]


def _of_interest(results: Results) -> list[Variant]:
    """The reference, the model of the released file, and that file last."""
    model = results.model_of(results.released).name
    names = dict.fromkeys((results.reference, model, results.released))
    return [results.variant(name) for name in names if name is not None]


def _class_tables(results: Results, variants: Sequence[Variant]) -> list[Table]:
    records = [(v.title, results.scores_of(v.name)) for v in variants]
    per_class = [(title, r.per_class) for title, r in records if r]
    scores = dict.fromkeys(score for _, row in per_class for score in row)
    return [
        per_class_table(
            results.data.class_names,
            [(title, row[score]) for title, row in per_class if score in row],
            unit=get_task(results.data.task).unit,
            score=score,
        )
        for score in scores
    ]


def _class_pictures(
    series: Sequence[Series], class_names: Sequence[str]
) -> list[Picture]:
    if all_have(series, "targets"):
        return value_pictures(series, class_names)
    return curve_pictures(series, class_names)


def _confusion(results: Results, arrays: Mapping[str, np.ndarray]) -> Section:
    if "confusion" not in arrays:
        return Section("Confusion")
    counts, class_names = arrays["confusion"], results.data.class_names
    title = results.variant(results.released).title
    table = confusion_table(counts, class_names)
    return Section(
        "Confusion",
        tables=[table] if table.rows else [],
        pictures=[confusion_picture(counts, class_names, title=title)],
    )


def _examples(
    results: Results,
    variants: Sequence[Variant],
    verification: str | os.PathLike[str],
) -> Section:
    with np.load(os.path.join(verification, "shown.npz")) as file:
        arrays = dict(file)
    task = get_task(results.data.task)
    shown = Shown(
        arrays["x"],
        arrays["y"],
        arrays["numbers"],
        {v.title: _outputs(arrays, v) for v in variants},
    )
    pictures = example_pictures(
        shown,
        task,
        class_names=results.data.class_names,
        palette=results.data.palette,
        sample_rate=results.data.sample_rate,
    )
    text = [task.shown_order] if pictures else []
    return Section("Examples", text, pictures=pictures)


def _outputs(arrays: Mapping[str, np.ndarray], variant: Variant) -> np.ndarray:
    """Of a Keras model as Keras runs it, of a file as LiteRT does."""
    of_model = arrays.get(f"model/{variant.name}")
    return arrays[f"file/{variant.name}"] if of_model is None else of_model
