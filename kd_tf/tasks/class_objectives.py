"""Keras losses and metrics for targets that are classes.

Shapes: B examples, C classes; "..." any number of further axes. Targets are
class numbers (B, ...) or, of mixed examples, fractions of classes
(B, ..., C). Pixels numbered `IGNORED` count for nothing.
"""

from typing import Any

import keras
from keras import ops

from kd_tf.tasks.task import IGNORED

Tensor = Any


class ClassLoss(keras.losses.Loss):
    """Cross-entropy with targets as class numbers or fractions.

    Args:
        smoothing: Fraction of each target that is spread evenly over all
            classes, in [0, 1).
        dice_weight: Weight of the Dice loss that is added: 1 minus the Dice
            coefficient of all pixels of the batch, averaged over the classes.

    Reference:
        Milletari et al., 2016, https://arxiv.org/abs/1606.04797, section 3.
    """

    def __init__(
        self, smoothing: float = 0.0, dice_weight: float = 0.0, **kwargs: Any
    ) -> None:
        """Keeps the arguments; `kwargs` are those of `keras.losses.Loss`."""
        super().__init__(**{"name": "cross_entropy", **kwargs})
        self.smoothing = smoothing
        self.dice_weight = dice_weight

    def call(self, targets: Tensor, logits: Tensor) -> Tensor:
        """Computes the loss of each output, float32 (B, ...)."""
        # Under mixed precision logits arrive as float16, too coarse for this.
        logits = ops.cast(logits, "float32")
        fractions = _as_fractions(targets, logits)
        # 0 for an ignored pixel, so that smoothing leaves it at 0.
        total = ops.sum(fractions, axis=-1)
        if self.smoothing:
            even = self.smoothing / logits.shape[-1]
            fractions = fractions * (1 - self.smoothing) + (
                even * total[..., None]
            )
        loss = -ops.sum(fractions * ops.log_softmax(logits, axis=-1), axis=-1)
        if self.dice_weight:
            loss = loss + self.dice_weight * _dice_loss(
                fractions, ops.softmax(logits, axis=-1) * total[..., None]
            )
        return loss

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal loss."""
        return {
            **super().get_config(),
            "smoothing": self.smoothing,
            "dice_weight": self.dice_weight,
        }


class Accuracy(keras.metrics.Mean):
    """Share of correct decisions, with targets as numbers or fractions."""

    def update_state(
        self, targets: Tensor, logits: Tensor, sample_weight: Tensor = None
    ) -> None:
        """Takes targets (B,) or (B, C), and logits (B, C)."""
        numbers = _as_numbers(targets, logits)
        is_correct = ops.equal(numbers, ops.argmax(logits, axis=-1))
        super().update_state(ops.cast(is_correct, "float32"), sample_weight)


class MeanIoU(keras.metrics.MeanIoU):
    """Intersection over union, averaged over the classes that occur.

    Args:
        num_classes: C.
        name: Name of the metric.
    """

    def __init__(
        self, num_classes: int, name: str | None = None, **kwargs: Any
    ) -> None:
        """Keeps the arguments; `kwargs` are those of Keras's metric."""
        super().__init__(
            num_classes,
            name=name,
            ignore_class=IGNORED,
            sparse_y_pred=False,
            **kwargs,
        )

    def update_state(
        self, targets: Tensor, logits: Tensor, sample_weight: Tensor = None
    ) -> None:
        """Takes targets (B, ...) or (B, ..., C), and logits (B, ..., C)."""
        numbers = _as_numbers(targets, logits)
        super().update_state(numbers, logits, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal metric."""
        return {"num_classes": self.num_classes, "name": self.name}


def _as_fractions(targets: Tensor, logits: Tensor) -> Tensor:
    if len(targets.shape) == len(logits.shape):
        return ops.cast(targets, "float32")
    # A number past the last class, such as IGNORED, becomes a row of zeros.
    return ops.one_hot(ops.cast(targets, "int32"), logits.shape[-1])


def _as_numbers(targets: Tensor, logits: Tensor) -> Tensor:
    if len(targets.shape) < len(logits.shape):
        return ops.cast(targets, "int32")
    is_counted = ops.sum(targets, axis=-1) > 0
    return ops.where(is_counted, ops.argmax(targets, axis=-1), IGNORED)


def _dice_loss(fractions: Tensor, probabilities: Tensor) -> Tensor:
    """Computes 1 minus the mean Dice coefficient, a scalar."""
    axes = tuple(range(len(fractions.shape) - 1))
    both = ops.sum(fractions * probabilities, axis=axes)
    each = ops.sum(fractions + probabilities, axis=axes)
    # The 1 gives a class that is nowhere, and predicted nowhere, a Dice of 1.
    return 1 - ops.mean((2 * both + 1) / (each + 1))
