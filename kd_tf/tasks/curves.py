"""Calibration and precision-recall curves, counted batch by batch.

Shapes: P outputs (examples, or all their pixels), C classes, T thresholds,
B bins of confidence. Memory does not grow with P.
"""

import os
from collections.abc import Mapping

import numpy as np

from kd_tf.tasks.ratios import ratio, ratios

_BINS = 15  # of calibration, as in Guo et al.
_THRESHOLDS = 1000  # of the precision-recall curves


class Calibration:
    """Counts how often decisions of each confidence are correct.

    Of decisions with a probability of 0.8 a calibrated model has eight in ten
    correct.

    Reference:
        Guo et al., 2017, https://arxiv.org/abs/1706.04599, section 2.
    """

    def __init__(self) -> None:
        """Starts with nothing counted."""
        self._count = np.zeros(_BINS, int)
        self._confidence = np.zeros(_BINS)
        self._correct = np.zeros(_BINS)

    def update(self, confidence: np.ndarray, is_correct: np.ndarray) -> None:
        """Counts decisions.

        Args:
            confidence: Float (P,), the probability of each decision.
            is_correct: Bool (P,).
        """
        bins = np.clip((confidence * _BINS).astype(int), 0, _BINS - 1)
        self._count += np.bincount(bins, minlength=_BINS)
        self._confidence += np.bincount(bins, confidence, _BINS)
        self._correct += np.bincount(bins, is_correct, _BINS)

    def error(self) -> float:
        """Expected calibration error, in [0, 1]; NaN without any decision."""
        gap = np.abs(self._confidence - self._correct).sum()
        return ratio(gap, self._count.sum())

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns count, mean confidence and accuracy of each bin, (B,)."""
        count = np.maximum(self._count, 1)
        return {
            "calibration_count": self._count,
            "calibration_confidence": self._confidence / count,
            "calibration_accuracy": self._correct / count,
        }


class Curves:
    """Counts precision and recall of each class at T even thresholds.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        """Starts with nothing counted."""
        # (negative or positive, class, bin of the probability)
        self._counts = np.zeros((2, num_classes, _THRESHOLDS + 1), int)

    def update(
        self, probabilities: np.ndarray, is_positive: np.ndarray
    ) -> None:
        """Counts outputs.

        Args:
            probabilities: Float (P, C).
            is_positive: Bool (P, C).
        """
        bins = (probabilities * _THRESHOLDS).astype(int)
        bins = np.clip(bins, 0, _THRESHOLDS)
        for c in range(bins.shape[-1]):
            for side in (False, True):
                of_side = bins[is_positive[:, c] == side, c]
                self._counts[int(side), c] += np.bincount(
                    of_side, minlength=_THRESHOLDS + 1
                )

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns `precision` and `recall`, float (C + 1, T).

        Thresholds go from high to low; the last row is the micro-average.
        Recall of a class that never occurs is NaN, and so is precision where
        no output reaches the threshold.
        """
        counts = np.concatenate(
            [self._counts, self._counts.sum(axis=1, keepdims=True)], axis=1
        )
        negatives, positives = np.cumsum(counts[..., ::-1], axis=-1)
        return {
            "precision": ratios(positives, positives + negatives),
            "recall": ratios(positives, positives[..., -1:]),
        }


def average_precision(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Computes the area under precision-recall curves, not interpolated.

    Args:
        precision: Float (..., T), thresholds from high to low; NaN where no
            output reaches the threshold.
        recall: Float (..., T); NaN for a class that never occurs.

    Returns:
        Float (...); NaN for a class that never occurs.
    """
    steps = np.diff(recall, axis=-1, prepend=0)
    # Where no output reaches the threshold, recall takes no step either.
    return (steps * np.nan_to_num(precision)).sum(axis=-1)


def save_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Mapping[str, np.ndarray]],
) -> None:
    """Writes what `Score.arrays` of several models returned.

    Args:
        path: Path of the `.npz` file.
        arrays: {model: {name: array}}.
    """
    flat = {
        f"{model}/{name}": array
        for model, of_model in arrays.items()
        for name, array in of_model.items()
    }
    np.savez(path, **flat)  # type: ignore[arg-type]


def load_arrays(
    path: str | os.PathLike[str],
) -> dict[str, dict[str, np.ndarray]]:
    """Reads what `save_arrays` wrote: {model: {name: array}}."""
    arrays: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            model, _, name = key.partition("/")
            arrays.setdefault(model, {})[name] = file[key]
    return arrays
