"""Multilabel classification: any number of classes for each example.

Shapes: N examples, n of them in a batch, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kd_tf.results import ScoreRecord
from kd_tf.tasks.agreement import DecisionAgreement
from kd_tf.tasks.curves import Curves
from kd_tf.tasks.probabilities import sigmoid
from kd_tf.tasks.ratios import mean_of_defined, score_record
from kd_tf.tasks.task import Task

if TYPE_CHECKING:
    import keras

    from kd_tf.ranges import Share


class Multilabel(Task):
    """Any number of classes for each example.

    Targets are flags (n, C), 0 or 1; outputs are logits (n, C).
    """

    score = "mean_average_precision"
    title = "mean average precision"
    default_loss = "sigmoid_targets"
    default_temperature = 1.0
    target_columns = "flags"

    def target_shape(
        self, example_shape: Sequence[int], num_outputs: int
    ) -> tuple[int, ...]:
        """A target has one flag for each class."""
        return (num_outputs,)

    def count(self, targets: np.ndarray, num_outputs: int) -> np.ndarray:
        """Counts the examples of each class."""
        if not np.isin(targets, (0, 1)).all():
            raise ValueError(
                f"Labels must be 0 or 1 for each of the {num_outputs} "
                f"classes. Received: {targets.min()} to {targets.max()}"
            )
        return targets.sum(axis=0, dtype=int)

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Returns which classes have a probability over 0.5, bool (n, C)."""
        return outputs > 0

    def label_loss(
        self, *, smoothing: Share = 0.0, mixed: bool = False
    ) -> keras.losses.Loss:
        """Makes a binary cross-entropy, averaged over the classes.

        Args:
            smoothing: Moves each flag this far towards one half: 1 becomes
                1 - smoothing / 2.
            mixed: Whether targets may come as fractions; they have the shape
                of flags, and the loss is the same.
        """
        import keras

        return keras.losses.BinaryCrossentropy(
            from_logits=True, label_smoothing=smoothing
        )

    def metrics(self, num_outputs: int) -> list[keras.metrics.Metric]:
        """Makes the mean average precision, over 200 thresholds."""
        import keras

        return [
            keras.metrics.AUC(
                curve="PR",
                multi_label=True,
                num_labels=num_outputs,
                from_logits=True,
                name=self.score,
            )
        ]

    def new_score(self, num_outputs: int) -> MultilabelScore:
        """Makes an empty `MultilabelScore`."""
        return MultilabelScore(num_outputs)

    def new_agreement(self) -> DecisionAgreement:
        """Makes an empty share of equal flags."""
        return DecisionAgreement(self.decide)

    def describe_target(
        self, target: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """Names the classes that are set."""
        return _names(np.asarray(target) > 0, class_names)

    def describe_output(
        self, output: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """Names the classes that are predicted."""
        return _names(self.decide(output), class_names)


class MultilabelScore:
    """Mean average precision and what belongs to it.

    Average precision is the sum of precision over the steps of recall,
    without interpolation. It needs every output as a threshold, so that all
    outputs are kept; the curves to draw have fixed thresholds.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        """Starts with nothing counted."""
        self._outputs: list[np.ndarray] = []
        self._targets: list[np.ndarray] = []
        self._curves = Curves(num_classes)

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Takes logits (n, C) and flags (n, C); see `Score`."""
        is_positive = np.asarray(targets).astype(bool)
        self._outputs.append(np.asarray(outputs, "float32"))
        self._targets.append(is_positive)
        self._curves.update(sigmoid(outputs), is_positive)
        losses = np.logaddexp(0, np.where(is_positive, -outputs, outputs))
        return losses.mean(axis=-1)

    def result(self) -> ScoreRecord:
        """The scores so far; classes that never occur are left out."""
        outputs, targets = map(np.concatenate, (self._outputs, self._targets))
        flags = outputs > 0
        precision = [
            _average_precision(of_class, logits)
            for of_class, logits in zip(targets.T, outputs.T, strict=True)
        ]
        num_hits = int(np.sum(flags & targets))
        scores = {
            "mean_average_precision": mean_of_defined(precision),
            "accuracy": float(np.mean(flags == targets)),
            "micro_f1": 2 * num_hits / max(int(flags.sum() + targets.sum()), 1),
        }
        return score_record(scores, {"average precision": precision})

    def arrays(self) -> dict[str, np.ndarray]:
        """Precision-recall curves."""
        return self._curves.arrays()


def _average_precision(is_positive: np.ndarray, logits: np.ndarray) -> float:
    """Precision averaged over the positives (N,), NaN if there are none.

    In NumPy, as devices that score files have no scikit-learn.
    """
    order = np.argsort(-logits, kind="stable")
    # Equal logits share a threshold: the last of them has its counts.
    is_last = np.append(np.diff(logits[order]) != 0, True)
    hits = np.cumsum(is_positive[order])[is_last]
    precision = hits / (np.flatnonzero(is_last) + 1)
    if not hits[-1]:
        return float("nan")
    recall_steps = np.diff(hits, prepend=0) / hits[-1]
    return float(np.sum(recall_steps * precision))


def _names(is_set: np.ndarray, class_names: Sequence[str]) -> str:
    names = [str(class_names[c]) for c in np.flatnonzero(is_set).tolist()]
    return ", ".join(names) or "none"
