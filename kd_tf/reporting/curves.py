"""Pictures of precision, recall and calibration.

Shapes: C classes, T thresholds.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from kd_tf.reporting.pictures import (
    NARROW,
    WIDTH,
    Picture,
    canvas,
    picture,
    styled,
)
from kd_tf.reporting.series import Series
from kd_tf.tasks.curves import average_precision

_MOST_CLASSES = 12  # that have a picture of their own
_MICRO = -1  # row of the micro-average


def curve_pictures(
    series: Sequence[Series], class_names: Sequence[str]
) -> list[Picture]:
    """Draws whatever curves there are to draw of all models.

    Args:
        series: Models, the file of interest last.
        class_names: C names.

    Returns:
        The micro-average, calibration, then class by class; of many classes
        those the file is worst at.
    """
    if not all_have(series, "precision"):
        return []
    pictures = [micro_average_picture(series)]
    if all_have(series, "calibration_count"):
        pictures.append(calibration_picture(series))
    *_, file = series
    areas = _areas(file)[:_MICRO]
    worst_first = np.argsort(areas, kind="stable")
    chosen = [c for c in worst_first if not np.isnan(areas[c])][:_MOST_CLASSES]
    return pictures + [
        _precision_recall(series, c, class_names[c], width=NARROW)
        for c in sorted(chosen)
    ]


def all_have(series: Sequence[Series], name: str) -> bool:
    """Whether there is a model, and every model has the array."""
    return bool(series) and all(name in one.arrays for one in series)


def micro_average_picture(series: Sequence[Series]) -> Picture:
    """The precision-recall curve of all classes taken together.

    Args:
        series: Models with arrays `precision` and `recall` (C + 1, T).
    """
    return _precision_recall(series, _MICRO, "micro-average", width=WIDTH)


@styled
def calibration_picture(series: Sequence[Series]) -> Picture:
    """Whether predictions of probability 0.8 are right eight times in ten.

    Args:
        series: Models with arrays `calibration_count`,
            `calibration_confidence` and `calibration_accuracy`, one value a
            bin.
    """
    figure, (axis, counts) = canvas(
        height=4.0, nrows=2, sharex=True, height_ratios=(3, 1)
    )
    axis.plot((0, 1), (0, 1), color="0.6", linewidth=1, label="ideal")
    errors = [_plot_calibration(axis, counts, one) for one in series]
    axis.set(ylabel="fraction that is right", ylim=(0, 1.02))
    axis.set_title("Calibration")
    axis.legend()
    counts.set(xlabel="probability of the prediction", ylabel="fraction")
    alt = (
        "Fraction of right predictions against their probability; expected "
        f"calibration error: {'; '.join(errors)}."
    )
    return picture(figure, "calibration", alt)


def _plot_calibration(axis: Axes, counts: Axes, one: Series) -> str:
    """Draws one model and returns its error in words."""
    count = one.arrays["calibration_count"]
    used, fraction = count > 0, count / max(count.sum(), 1)
    confidence = one.arrays["calibration_confidence"][used]
    accuracy = one.arrays["calibration_accuracy"][used]
    error = (fraction[used] * np.abs(confidence - accuracy)).sum()
    label = f"{one.title}, off by {error:.3f}"
    axis.plot(confidence, accuracy, marker=".", label=label, **one.look.line)
    edges = np.linspace(0, 1, len(count) + 1)
    counts.stairs(fraction, edges, **one.look.line)
    return f"{one.title} {error:.4f}"


@styled
def _precision_recall(
    series: Sequence[Series], number: int, name: str, *, width: float
) -> Picture:
    figure, axis = canvas(width=width, height=0.35 * width + 1.5)
    areas = []
    for one in series:
        area = _areas(one)[number]
        # The legend of the wide picture serves the narrow ones beside it.
        who = f"{one.title}, " if width == WIDTH else ""
        axis.plot(
            one.arrays["recall"][number],
            one.arrays["precision"][number],
            label=f"{who}{area:.3f}",
            **one.look.line,
        )
        areas.append(f"{one.title} {area:.4f}")
    axis.set(xlim=(0, 1.01), ylim=(0, 1.02))
    axis.set(xlabel="recall", ylabel="precision")
    axis.set_title(name if len(name) < 30 else f"{name[:28]}…")
    axis.legend(loc="lower left")
    of = "micro" if number == _MICRO else f"class_{number}"
    joined = "; ".join(areas)
    alt = f"Precision against recall, {name}; area under it: {joined}."
    return picture(figure, f"precision_recall_{of}", alt)


def _areas(one: Series) -> np.ndarray:
    """Float (C + 1,), the micro-average last."""
    return average_precision(one.arrays["precision"], one.arrays["recall"])
