"""Ratios that may be undefined, and records of them.

A ratio to nothing, such as the recall of a class that never occurs, is NaN
in arrays and None in records; means leave it out.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from kd_tf.results import ScoreRecord


def ratio(part: float, whole: float) -> float:
    """Divides two numbers; NaN where the second is 0."""
    return float(part / whole) if whole else float("nan")


def ratios(parts: ArrayLike, wholes: ArrayLike) -> np.ndarray:
    """Divides two arrays of one shape; NaN where the second is 0."""
    divisors = np.where(np.asarray(wholes) == 0, np.nan, wholes)
    return np.asarray(parts) / divisors


def mean_of_defined(values: ArrayLike) -> float:
    """Averages what is not NaN; NaN if nothing is."""
    values = np.asarray(values, float)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def score_record(
    scores: Mapping[str, float], per_class: Mapping[str, ArrayLike]
) -> ScoreRecord:
    """Makes a record, with None in place of NaN.

    Args:
        scores: {score: value}.
        per_class: {score in words: one value for each class}.
    """
    return ScoreRecord(
        {name: _defined(value) for name, value in scores.items()},
        {
            title: [_defined(value) for value in np.asarray(values, float)]
            for title, values in per_class.items()
        },
    )


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
