"""How training went, epoch by epoch, and what was moved meanwhile.

A history is a list of dicts, one an epoch, as Keras logs them.
"""

import re

import numpy as np

from kd_tf.reporting.pictures import (
    LOOK,
    canvas,
    count_epochs,
    look,
    picture,
    styled,
)

ROLES = {
    "teach": "teacher",
    "control": "control",
    "distill": "student",
    "prune": "pruned",
}
_SHAPES = {
    "linear": lambda done: done,
    "cosine": lambda done: 0.5 * (1 - np.cos(np.pi * done)),
    "cubic": lambda done: 1 - (1 - done) ** 3,
}
_POINTS = 200
_LONGEST = 40  # letters of a name in a legend


def training_pictures(stage, result, score, title):
    """Loss, score and, if there are several, every loss of one training.

    Args:
        stage: Name of the stage.
        result: What it found: `history` and `best_epoch`.
        score: Key of the task's score.
        title: The score in words.

    Returns:
        List of `Picture`.
    """
    history = result["history"]
    best = result["best_epoch"]
    pictures = [_curve(stage, "loss", "loss", history, best)]
    if score in history[0]:
        pictures.append(_curve(stage, score, title, history, best))
    losses = [k for k in history[0] if k.endswith("_loss") and k != "val_loss"]
    if losses:
        pictures.append(_losses(stage, losses, history))
    return pictures


@styled
def _curve(stage, key, title, history, best):
    figure, axis = canvas()
    plain = {"color": LOOK[ROLES[stage]]["color"], "marker": "."}
    said = []
    for label, prefix, line in (
        ("training", "", "--"),
        ("validation", "val_", "-"),
    ):
        values = over_epochs(history, prefix + key)
        if values is not None:
            axis.plot(*values, label=label, linestyle=line, **plain)
            said.append(f"{label} {values[1][0]:.4g} to {values[1][-1]:.4g}")
    axis.axvline(best, color="0.5", linewidth=1, label=f"best epoch, {best}")
    axis.set_title(f"{stage}: {title}")
    axis.legend()
    count_epochs(axis)
    kind = "loss" if key == "loss" else "score"
    alt = (
        f"{title.capitalize()} of {stage} over {len(history)} epochs: "
        f"{', '.join(said)}. Best epoch {best}."
    )
    return picture(figure, f"training_{stage}_{kind}", alt)


@styled
def _losses(stage, keys, history):
    figure, axis = canvas()
    names = [key for key in keys if not key.startswith("val_")]
    said = []
    for number, name in enumerate(names):
        color = look(number)["color"]
        for prefix, line in (("", "--"), ("val_", "-")):
            values = over_epochs(history, prefix + name)
            if values is not None:
                label = name[:_LONGEST] if prefix else None
                axis.plot(*values, line, color=color, marker=".", label=label)
                last = f"{name} {values[1][-1]:.4g}"
        said.append(last)
    axis.set_title(f"{stage}: each loss, unweighted (dashed: training)")
    axis.legend()
    count_epochs(axis)
    alt = f"Every loss of {stage} by epoch; at the end {', '.join(said)}."
    return picture(figure, f"training_{stage}_losses", alt)


@styled
def overlaid(stage, title, lines):
    """One score over the epochs of several trainings.

    Args:
        stage: Name of the stage.
        title: The score in words.
        lines: {label: (epochs, values)}.

    Returns:
        `Picture`.
    """
    figure, axis = canvas(height=3.2)
    for number, (label, values) in enumerate(lines.items()):
        axis.plot(*values, marker=".", label=label, **look(number))
    axis.set_title(f"{stage}: validation {title}")
    axis.legend()
    count_epochs(axis)
    best = (f"{k}, best {np.nanmax(v[1]):.4f}" for k, v in lines.items())
    alt = f"Validation {title} of {stage} by epoch: {'; '.join(best)}."
    return picture(figure, f"training_{stage}", alt)


@styled
def schedule_picture(quantity, schedules):
    """One quantity that moves while stages train.

    Args:
        quantity: Its name.
        schedules: {stage: dict of `start`, `end`, `shape` (of `_SHAPES`),
            `ramp_epochs` it takes, and `epochs` of the stage}.

    Returns:
        `Picture`.
    """
    figure, axis = canvas(height=2.6)
    said = []
    for stage, schedule in schedules.items():
        epochs = np.linspace(0, schedule["epochs"], _POINTS)
        values = scheduled(schedule, epochs)
        axis.plot(epochs, values, label=stage, **LOOK[ROLES[stage]])
        said.append(
            f"{stage} from {schedule['start']:g} to {schedule['end']:g} in "
            f"{schedule['ramp_epochs']:g} epochs, {schedule['shape']}"
        )
    axis.set_title(quantity)
    axis.legend()
    count_epochs(axis)
    # A loss may be called "package.module:function".
    name = re.sub(r"\W+", "_", f"schedule_{quantity}")
    return picture(figure, name, f"Schedule of {quantity}: {'; '.join(said)}.")


def scheduled(schedule, epochs):
    """Values of a schedule, as `schedule_picture` takes it, at epochs (N,)."""
    done = np.clip(epochs / schedule["ramp_epochs"], 0, 1)
    share = _SHAPES[schedule["shape"]](done)
    return schedule["start"] + (schedule["end"] - schedule["start"]) * share


def over_epochs(history, key):
    """Epochs at which a history has a key, and its values; None if none."""
    found = [
        (epoch, logs[key])
        for epoch, logs in enumerate(history, 1)
        if key in logs
    ]
    return tuple(zip(*found, strict=True)) if found else None
