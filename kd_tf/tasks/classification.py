"""Classification: one class for each example.

Shapes: n examples of a batch, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kd_tf.results import ScoreRecord
from kd_tf.tasks.agreement import DecisionAgreement
from kd_tf.tasks.class_scores import (
    ClassCounts,
    count_class_numbers,
    cross_entropies,
)
from kd_tf.tasks.probabilities import softmax
from kd_tf.tasks.ratios import ratio, score_record
from kd_tf.tasks.task import Task

if TYPE_CHECKING:
    import keras

    from kd_tf.ranges import Share

_TOP = 5


class Classification(Task):
    """One class for each example.

    Targets are class numbers (n,), outputs logits (n, C).
    """

    score = "accuracy"
    title = "accuracy"
    default_loss = "soft_targets"
    default_temperature = 4.0
    target_columns = "class"

    def target_shape(
        self, example_shape: Sequence[int], num_outputs: int
    ) -> tuple[int, ...]:
        """A target is a scalar."""
        return ()

    def count(self, targets: np.ndarray, num_outputs: int) -> np.ndarray:
        """Counts the examples of each class."""
        return count_class_numbers(targets, num_outputs)

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Returns the class of the greatest logit, int (n,)."""
        return outputs.argmax(axis=-1)

    def label_loss(
        self, *, smoothing: Share = 0.0, mixed: bool = False
    ) -> keras.losses.Loss:
        """Makes a cross-entropy.

        Args:
            smoothing: Fraction of each label that is spread evenly over all
                classes.
            mixed: Whether targets may come as fractions of classes, (n, C).
        """
        import keras

        from kd_tf.tasks.class_objectives import ClassLoss

        if smoothing or mixed:
            return ClassLoss(smoothing)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self, num_outputs: int) -> list[keras.metrics.Metric]:
        """Makes the accuracy."""
        from kd_tf.tasks.class_objectives import Accuracy

        return [Accuracy(name=self.score)]

    def new_score(self, num_outputs: int) -> ClassificationScore:
        """Makes an empty `ClassificationScore`."""
        return ClassificationScore(num_outputs)

    def new_agreement(self) -> DecisionAgreement:
        """Makes an empty share of equal decisions."""
        return DecisionAgreement(self.decide)

    def describe_target(
        self, target: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """Names the class."""
        label = int(target)
        return str(class_names[label]) if label >= 0 else "no label"

    def describe_output(
        self, output: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """Names the most probable class and its probability."""
        probabilities = softmax(output)
        best = int(probabilities.argmax())
        return f"{class_names[best]} {probabilities[best]:.2f}"


class ClassificationScore:
    """Accuracy and what belongs to it; negative labels count for nothing.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        """Starts with nothing counted."""
        self._num_classes = num_classes
        self._counts = ClassCounts(num_classes)
        self._num_in_top = 0

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Takes logits (n, C) and class numbers (n,); see `Score`."""
        labels = np.asarray(targets).reshape(-1).astype("int64")
        probabilities, has_label = softmax(outputs), labels >= 0
        self._count(probabilities[has_label], labels[has_label])
        return cross_entropies(probabilities, labels, has_label)

    def result(self) -> ScoreRecord:
        """The scores so far; `top_5_accuracy` of more than 5 classes alone."""
        scores = {
            "accuracy": self._counts.accuracy(),
            "balanced_accuracy": self._counts.balanced_accuracy(),
            "ece": self._counts.calibration_error(),
        }
        if self._num_classes > _TOP:
            total = self._counts.confusion.sum()
            scores["top_5_accuracy"] = ratio(self._num_in_top, total)
        precision = self._counts.average_precision()
        return score_record(scores, {"average precision": precision})

    def arrays(self) -> dict[str, np.ndarray]:
        """Confusion, calibration, and precision-recall curves."""
        return self._counts.arrays()

    def _count(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        self._counts.update(probabilities, labels)
        of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)
        num_ahead = (probabilities > of_label).sum(axis=1)
        self._num_in_top += int((num_ahead < _TOP).sum())
