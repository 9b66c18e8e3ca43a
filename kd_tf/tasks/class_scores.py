"""Scores of outputs that name one class each: of an example or of a pixel.

Shapes: P outputs (examples, or all their pixels), C classes. Memory does not
grow with P.
"""

import numpy as np

from kd_tf.tasks.curves import Calibration, Curves, average_precision
from kd_tf.tasks.ratios import mean_of_defined, ratio, ratios

_LEAST_PROBABILITY = 1e-12  # keeps the logarithm finite


def count_class_numbers(targets: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts how often each class occurs.

    Args:
        targets: Class numbers of any shape.
        num_classes: C.

    Returns:
        Int array (C,).

    Raises:
        ValueError: if a target is not a class number.
    """
    if targets.size and not (
        targets.min() >= 0 and targets.max() < num_classes
    ):
        raise ValueError(
            f"Labels must be class numbers from 0 to {num_classes - 1}. "
            f"Received: {targets.min()} to {targets.max()}"
        )
    return np.bincount(targets.reshape(-1), minlength=num_classes)


def cross_entropies(
    probabilities: np.ndarray, labels: np.ndarray, is_counted: np.ndarray
) -> np.ndarray:
    """Computes the cross-entropy of each output.

    Args:
        probabilities: Float (P, C).
        labels: Int (P,), class numbers where they are counted.
        is_counted: Bool (P,).

    Returns:
        Float array (P,), 0 where the label is not counted.
    """
    losses = np.zeros(len(labels))
    of_label = probabilities[is_counted, labels[is_counted]]
    losses[is_counted] = -np.log(np.maximum(of_label, _LEAST_PROBABILITY))
    return losses


class ClassCounts:
    """Counts decisions by class, and scores them.

    Args:
        num_classes: C.

    Attributes:
        confusion: Int (C, C), how often each class (row) was decided to be
            each class (column).
    """

    def __init__(self, num_classes: int) -> None:
        """Starts with nothing counted."""
        self.confusion = np.zeros((num_classes, num_classes), int)
        self._calibration = Calibration()
        self._curves = Curves(num_classes)

    def update(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Counts outputs.

        Args:
            probabilities: Float (P, C).
            labels: Int (P,), class numbers.
        """
        num_classes = len(self.confusion)
        decided = probabilities.argmax(axis=-1)
        self.confusion += np.bincount(
            labels * num_classes + decided, minlength=num_classes**2
        ).reshape(self.confusion.shape)
        self._calibration.update(probabilities.max(axis=-1), decided == labels)
        self._curves.update(
            probabilities, labels[:, np.newaxis] == np.arange(num_classes)
        )

    def accuracy(self) -> float:
        """Share of decisions that are correct."""
        return ratio(np.trace(self.confusion), self.confusion.sum())

    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that occur."""
        recall = ratios(np.diag(self.confusion), self.confusion.sum(axis=1))
        return mean_of_defined(recall)

    def calibration_error(self) -> float:
        """Expected calibration error, in [0, 1]."""
        return self._calibration.error()

    def average_precision(self) -> np.ndarray:
        """Area under each class's precision-recall curve, float (C,)."""
        return average_precision(**self._curves.arrays())[:-1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Confusion, calibration, and precision-recall curves."""
        return {
            "confusion": self.confusion,
            **self._calibration.arrays(),
            **self._curves.arrays(),
        }
