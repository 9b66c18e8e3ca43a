"""Averages out of what a diagnosis counted batch by batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def add_figures(totals: Any, figures: Any) -> Any:
    """Adds what was counted on two batches; what one of them lacks is left out.

    Args:
        totals: Nested lists and dicts of numbers or arrays.
        figures: Likewise, of another batch.
    """
    if isinstance(totals, list):
        return [
            add_figures(*pair) for pair in zip(totals, figures, strict=True)
        ]
    if not isinstance(totals, Mapping):
        return totals + figures
    return {
        name: add_figures(total, figures[name])
        for name, total in totals.items()
        if name in figures
    }


def accuracies(
    outputs: Mapping[Any, Mapping[str, Any]],
) -> tuple[dict[str, float], float | None, int]:
    """Computes accuracies, as means over the outputs that have classes.

    Args:
        outputs: {name of an output: figures of `measure_batch`, added}.

    Returns:
        {"teacher" or "student": accuracy in [0, 1]}, the share of the most
        frequent class, and the number of labels; {}, None and 0 where labels
        are no classes, in any batch.
    """
    known = [
        figures
        for figures in outputs.values()
        if "of class" in figures
        and figures["several classes"] == 0
        and figures["of class"].sum()
    ]
    if not known:
        return {}, None, 0
    counts = [figures["of class"].sum() for figures in known]

    def mean(values: list[Any]) -> float:
        return float(np.mean(np.divide(values, counts)))

    accuracy = {
        who: mean([figures[who] for figures in known])
        for who in ("teacher", "student")
    }
    majority_share = mean([figures["of class"].max() for figures in known])
    return accuracy, majority_share, int(sum(counts))


def entropies(losses: Mapping[str, Mapping[Any, Any]]) -> dict[str, float]:
    """Computes mean entropies as fractions of the greatest possible.

    Args:
        losses: {loss: {output: sum and count}} of `measure_batch`, added.
    """
    fractions = {
        name: [f["sum"] / f["count"] for f in outputs.values() if f["count"]]
        for name, outputs in losses.items()
    }
    return {name: float(np.mean(f)) for name, f in fractions.items() if f}
