"""Semantic segmentation: one class for each pixel.

Shapes: n images of a batch, H and W of an image, C classes, P = n H W.
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
from kd_tf.tasks.ratios import mean_of_defined, ratios, score_record
from kd_tf.tasks.task import IGNORED, Task

if TYPE_CHECKING:
    import keras

    from kd_tf.ranges import NonNegative, Share

_MOST_NAMES = 4


class Segmentation(Task):
    """One class for each pixel.

    Targets are class numbers (n, H, W), outputs logits (n, H, W, C). Pixels
    numbered `IGNORED` count for nothing.
    """

    score = "mean_iou"
    title = "mean IoU"
    default_loss = "soft_targets"
    default_temperature = 1.0
    counted = "class, pixels"
    shown_order = "Test images from the file's worst to its best."

    def target_shape(
        self, example_shape: Sequence[int], num_outputs: int
    ) -> tuple[int, ...]:
        """A target has the height and width of its image."""
        return tuple(example_shape[:2])

    def output_shape(
        self, example_shape: Sequence[int], num_outputs: int
    ) -> tuple[int, ...]:
        """An output has C logits for each pixel."""
        return (*example_shape[:2], num_outputs)

    def count(self, targets: np.ndarray, num_outputs: int) -> np.ndarray:
        """Counts the pixels of each class."""
        return count_class_numbers(targets[targets != IGNORED], num_outputs)

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Returns the class of each pixel's greatest logit, int (n, H, W)."""
        return outputs.argmax(axis=-1)

    def label_loss(
        self,
        *,
        smoothing: Share = 0.0,
        dice_weight: NonNegative = 0.0,
        mixed: bool = False,
    ) -> keras.losses.Loss:
        """Makes a cross-entropy, with a Dice loss if that has a weight.

        Args:
            smoothing: Fraction of each label that is spread evenly over all
                classes.
            dice_weight: Weight of the Dice loss, which counts every class
                alike, however few pixels it has.
            mixed: Whether targets may come as fractions of classes,
                (n, H, W, C).
        """
        from kd_tf.tasks.class_objectives import ClassLoss

        # It takes class numbers and fractions alike.
        return ClassLoss(smoothing, dice_weight)

    def metrics(self, num_outputs: int) -> list[keras.metrics.Metric]:
        """Makes the mean IoU."""
        from kd_tf.tasks.class_objectives import MeanIoU

        return [MeanIoU(num_outputs, name=self.score)]

    def new_score(self, num_outputs: int) -> SegmentationScore:
        """Makes an empty `SegmentationScore`."""
        return SegmentationScore(num_outputs)

    def new_agreement(self) -> DecisionAgreement:
        """Makes an empty share of equal decisions, over all pixels."""
        return DecisionAgreement(self.decide)

    def describe_target(
        self, target: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """Names the classes with the most pixels, and their shares."""
        pixels = self.count(target, len(class_names))
        largest = np.argsort(-pixels, kind="stable")[:_MOST_NAMES]
        shares = [
            f"{class_names[c]} {100 * pixels[c] / pixels.sum():.0f} %"
            for c in largest
            if pixels[c]
        ]
        return ", ".join(shares) or "no label"

    def describe_output(
        self, output: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """Names the classes with the most pixels, and their shares."""
        return self.describe_target(self.decide(output), class_names)

    def outputs_to_keep(self, outputs: np.ndarray) -> np.ndarray:
        """Keeps the decisions, uint8 (n, H, W), a fraction of the logits."""
        return self.decide(outputs).astype("uint8")

    def examples_to_show(self, losses: np.ndarray, count: int) -> np.ndarray:
        """Spreads the choice evenly from the worst image to the best."""
        order = np.argsort(-losses, kind="stable")
        ranks = np.linspace(0, len(order) - 1, min(count, len(order)))
        return order[ranks.round().astype(int)]


class SegmentationScore:
    """Mean IoU and what belongs to it.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        """Starts with nothing counted."""
        self._num_classes = num_classes
        self._counts = ClassCounts(num_classes)

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Takes logits (n, H, W, C) and class numbers (n, H, W).

        Returns:
            Float (n,), the mean over the pixels that count.
        """
        labels = np.asarray(targets).reshape(-1).astype("int64")
        probabilities = softmax(outputs.reshape(-1, self._num_classes))
        is_counted = labels != IGNORED
        self._counts.update(probabilities[is_counted], labels[is_counted])
        losses = cross_entropies(probabilities, labels, is_counted)
        num_images = len(outputs)
        num_counted = is_counted.reshape(num_images, -1).sum(axis=1)
        # An image without any label has a loss of 0, not 0 / 0.
        return losses.reshape(num_images, -1).sum(axis=1) / np.maximum(
            num_counted, 1
        )

    def result(self) -> ScoreRecord:
        """The scores so far; classes that never occur are left out."""
        confusion = self._counts.confusion
        correct = np.diag(confusion)
        both = confusion.sum(axis=1) + confusion.sum(axis=0)
        iou = ratios(correct, both - correct)
        scores = {
            "pixel_accuracy": self._counts.accuracy(),
            "balanced_accuracy": self._counts.balanced_accuracy(),
            "ece": self._counts.calibration_error(),
            "mean_iou": mean_of_defined(iou),
            "mean_dice": mean_of_defined(ratios(2 * correct, both)),
        }
        return score_record(scores, {"IoU": iou})

    def arrays(self) -> dict[str, np.ndarray]:
        """Confusion, calibration, and precision-recall curves."""
        return self._counts.arrays()
