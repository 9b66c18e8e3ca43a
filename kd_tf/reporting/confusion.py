"""Which class is predicted for which.

Shapes: C classes. Counts are (C, C): true class, predicted class.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from kd_tf.reporting.layout import Table
from kd_tf.reporting.pictures import WIDTH, Picture, canvas, picture, styled

_LEGIBLE = 25  # classes whose names fit around a matrix
_LONGEST = 16  # letters of a name
_MOST_ROWS = 10


def confusion_table(counts: np.ndarray, class_names: Sequence[str]) -> Table:
    """The pairs that are confused most often, most frequent first.

    Args:
        counts: Int array (C, C).
        class_names: C names.
    """
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_ROWS]
    rows = [
        (
            class_names[i],
            class_names[j],
            f"{wrong[i, j]:,}",
            f"{100 * wrong[i, j] / counts[i].sum():.1f} %",
        )
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[i, j]
    ]
    return Table(["truth", "predicted instead", "times", "of its class"], rows)


@styled
def confusion_picture(
    counts: np.ndarray, class_names: Sequence[str], *, title: str
) -> Picture:
    """The confusion matrix.

    Args:
        counts: Int array (C, C).
        class_names: C names.
        title: What the model is called.
    """
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.36 * len(counts) + 1.4, WIDTH, 8))
    figure, axis = canvas(width=side, height=side)
    axis.grid(visible=False)
    # The root makes rare confusions visible.
    axis.imshow(np.sqrt(fractions), cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="predicted", ylabel="truth")
    axis.set_title(f"{title}: % of every class")
    if len(counts) <= _LEGIBLE:
        names = [str(name)[:_LONGEST] for name in class_names]
        axis.set_xticks(range(len(names)), names, rotation=90)
        axis.set_yticks(range(len(names)), names)
        _write_percentages(axis, fractions)
    right = np.trace(counts) / max(counts.sum(), 1)
    alt = f"Confusion matrix of {title}: {100 * right:.2f} % on its diagonal."
    for truth, predicted, _, of_class in confusion_table(
        counts, class_names
    ).rows[:1]:
        alt += f" Most often confused: {truth} for {predicted}, {of_class}."
    return picture(figure, "confusion", alt)


def _write_percentages(axis: Axes, fractions: np.ndarray) -> None:
    for (i, j), part in np.ndenumerate(fractions):
        if part > 0:
            color = "white" if part > 0.35 else "black"
            text = "<1" if part < 0.005 else f"{100 * part:.0f}"
            axis.text(
                j, i, text, ha="center", va="center", color=color, fontsize=7
            )
