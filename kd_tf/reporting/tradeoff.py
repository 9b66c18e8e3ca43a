"""Pictures of what a score costs: in bytes and in time."""

import dataclasses
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from kd_tf.reporting.pictures import Picture, canvas, picture, styled
from kd_tf.reporting.rows import Row

# {key of a row: (unit, factor from the row's unit, what it is)}
_COSTS = {
    "bytes": ("kB", 1e-3, "size"),
    "p50_ms": ("ms, median of one inference", 1, "latency"),
}
_FAR_APART = 5
_DECADES_APART = 100


@dataclasses.dataclass(frozen=True)
class Point:
    """One model or file.

    Attributes:
        label: What the legend calls it.
        color: As matplotlib names it.
        marker: As matplotlib names it.
        row: Its row of `result_rows`.
    """

    label: str
    color: str
    marker: str
    row: Row


def tradeoff_pictures(points: Sequence[Point], score: str) -> list[Picture]:
    """Draws the score against bytes and against latency.

    Args:
        points: Models and files; those that lack a figure are left out.
        score: The score in words.

    Returns:
        List of `Picture`, without those that no point has figures for.
    """
    pictures = []
    for key in _COSTS:
        measured = [p for p in points if {key, "test_score"} <= p.row.keys()]
        if measured:
            pictures.append(_tradeoff(measured, key, score))
    return pictures


@styled
def _tradeoff(points: Sequence[Point], key: str, score: str) -> Picture:
    unit, factor, what = _COSTS[key]
    figure, axis = canvas(height=3.8)
    figures = []
    for point in points:
        x, y = point.row[key] * factor, point.row["test_score"]
        axis.scatter(
            x,
            y,
            55,
            point.color,
            marker=point.marker,
            alpha=0.8,
            label=point.label,
        )
        figures.append(f"{point.label} {y:.4f} at {x:.4g}")
    axis.set(xlabel=f"{what}, {unit}", ylabel=f"test {score}")
    axis.set_title(f"{score[0].upper()}{score[1:]} against {what}")
    _scale(axis, [point.row[key] for point in points])
    axis.margins(0.12)
    figure.set_figheight(3.2 + 0.16 * -(-len(points) // 2))
    figure.legend(ncols=2, fontsize=7, loc="outside lower center")
    alt = f"Test {score} against {what} in {unit}: {'; '.join(figures)}."
    return picture(figure, f"score_against_{what}", alt)


def _scale(axis: Axes, costs: Sequence[float]) -> None:
    """Logarithmic where costs are far apart, labelled with plain numbers."""
    ratio = max(costs) / min(costs)
    if ratio < _FAR_APART:
        axis.locator_params(axis="x", nbins=5)
        return
    axis.set_xscale("log")
    steps = (1, 2, 5) if ratio < _DECADES_APART else (1,)
    axis.xaxis.set_major_locator(LogLocator(subs=steps))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
