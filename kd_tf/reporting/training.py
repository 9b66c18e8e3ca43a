"""Pictures of how training went, epoch by epoch.

A history is a list of dicts, one an epoch, as Keras logs them.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from kd_tf.reporting.looks import look
from kd_tf.reporting.pictures import (
    Picture,
    canvas,
    label_epochs,
    picture,
    styled,
)
from kd_tf.results import Results, TrainingRecord, Variant
from kd_tf.tasks import get_task

History = Sequence[Mapping[str, float]]
Points = tuple[tuple[float, ...], tuple[float, ...]]
_LONGEST = 40  # letters of a name in a legend


def training_pictures(results: Results) -> list[Picture]:
    """Loss, score and, if there are several, every loss of each training.

    Args:
        results: A finished run.

    Returns:
        List of `Picture`; none of a model that was loaded.
    """
    return [
        one
        for position, variant in enumerate(results.variants)
        if (training := results.trainings.get(variant.name))
        and training.history
        for one in _of_one(results, variant, training, look(position).color)
    ]


def _of_one(
    results: Results, variant: Variant, training: TrainingRecord, color: str
) -> list[Picture]:
    task = get_task(results.data.task)
    quantities = {"loss": ("loss", "loss")}
    first = training.history[0]
    if task.score in first:
        quantities["score"] = (task.score, task.title)
    pictures = [
        _curve(variant, training, *quantity, color, name=name)
        for name, quantity in quantities.items()
    ]
    losses = [name for name in training.losses if name in first]
    if losses:
        pictures.append(_losses(variant, losses, training.history))
    return pictures


@styled
def _curve(
    variant: Variant,
    training: TrainingRecord,
    key: str,
    title: str,
    color: str,
    *,
    name: str,
) -> Picture:
    figure, axis = canvas()
    changes = _plot_both_splits(axis, training.history, key, color)
    alt = (
        f"{title.capitalize()} of {variant.title} over "
        f"{len(training.history)} epochs: {', '.join(changes)}."
    )
    best = training.best_epoch
    if best is not None:
        label = f"best epoch, {best}"
        axis.axvline(best, color="0.5", linewidth=1, label=label)
        alt += f" Best epoch {best}."
    axis.set_title(f"{variant.title}: {title}")
    axis.legend()
    label_epochs(axis)
    return picture(figure, f"training_{variant.name}_{name}", alt)


def _plot_both_splits(
    axis: Axes, history: History, key: str, color: str
) -> list[str]:
    """Draws a quantity on both splits and returns how it changed, in words."""
    changes = []
    for split, prefix, line in (
        ("training", "", "--"),
        ("validation", "val_", "-"),
    ):
        points = over_epochs(history, prefix + key)
        if points:
            axis.plot(*points, line, color=color, marker=".", label=split)
            first, last = points[1][0], points[1][-1]
            changes.append(f"{split} {first:.4g} to {last:.4g}")
    return changes


@styled
def _losses(
    variant: Variant, names: Sequence[str], history: History
) -> Picture:
    figure, axis = canvas()
    last = {}
    for number, name in enumerate(names):
        color = look(number).color
        for prefix, line in (("", "--"), ("val_", "-")):
            points = over_epochs(history, prefix + name)
            if points:
                label = name[:_LONGEST] if prefix else None
                axis.plot(*points, line, color=color, marker=".", label=label)
                last[name] = points[1][-1]
    axis.set_title(f"{variant.title}: each loss, unweighted (dashed: training)")
    axis.legend()
    label_epochs(axis)
    values = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
    alt = f"Every loss of {variant.title} by epoch; at the end {values}."
    return picture(figure, f"training_{variant.name}_losses", alt)


@styled
def overlaid_picture(
    model: str, score: str, lines: Mapping[str, tuple[int, Points]]
) -> Picture:
    """One score over the epochs of several runs' trainings of a model.

    Args:
        model: Title of the model.
        score: The score in words.
        lines: {label of a run: (its position among all, its points)}.
    """
    figure, axis = canvas(height=3.2)
    best = []
    for label, (position, points) in lines.items():
        axis.plot(*points, marker=".", label=label, **look(position).line)
        best.append(f"{label}, best {np.nanmax(points[1]):.4f}")
    axis.set_title(f"{model}: validation {score}")
    axis.legend()
    label_epochs(axis)
    alt = f"Validation {score} of {model} by epoch: {'; '.join(best)}."
    return picture(figure, f"training_{model}", alt)


def over_epochs(history: History, key: str) -> Points | None:
    """Epochs, from 1, whose logs have a key, and its values.

    Returns:
        (epochs, values), or None if no epoch has it.
    """
    points = [
        (epoch, logs[key])
        for epoch, logs in enumerate(history, 1)
        if key in logs
    ]
    if not points:
        return None
    epochs, values = zip(*points, strict=True)
    return epochs, values
