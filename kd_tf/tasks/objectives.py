"""What a model is trained on and watched by, task by task, in Keras.

Shapes: B examples, C classes or values; D is any number of further axes.
Targets are class numbers (B, ...) or, after mixup, shares (B, ..., C).
"""

import keras
from keras import ops

from kd_tf.tasks import IGNORED, TASKS


def label_loss(task, *, dice_weight=0.0, label_smoothing=0.0, shares=False):
    """The student's own loss.

    Args:
        task: Name of `kd_tf.tasks.TASKS`.
        dice_weight: Of 1 minus the Dice coefficient over the batch, added to
            the cross-entropy of a segmentation.
        label_smoothing: Share of a class target spread over all classes, in
            [0, 1).
        shares: Whether class targets may come as shares, (B, ..., C).

    Returns:
        `keras.losses.Loss` of targets and logits (of a regression, values).
    """
    if task == "regression":
        return keras.losses.MeanSquaredError()
    if task == "multilabel":
        return keras.losses.BinaryCrossentropy(
            from_logits=True, label_smoothing=label_smoothing
        )
    if task == "classification" and not (label_smoothing or shares):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return ClassLoss(label_smoothing, dice_weight)


def score_metrics(task, num_classes):
    """What is computed after every epoch: the task's score comes first.

    Returns:
        List of `keras.metrics.Metric`; the first is named as the task's score.
    """
    name = TASKS[task].score
    if task == "classification":
        return [Accuracy(name=name)]
    if task == "segmentation":
        return [MeanIoU(num_classes, name=name)]
    if task == "multilabel":
        return [
            keras.metrics.AUC(
                curve="PR",
                multi_label=True,
                num_labels=num_classes,
                from_logits=True,
                name=name,
            )
        ]
    return [
        keras.metrics.R2Score(name=name),
        keras.metrics.MeanAbsoluteError(name="mae"),
    ]


class ClassLoss(keras.losses.Loss):
    """Cross-entropy with classes given as numbers or as shares.

    Pixels numbered `IGNORED` count for nothing. Dice is that of all pixels of
    the batch, averaged over the classes (Milletari et al., 2016,
    https://arxiv.org/abs/1606.04797, section 3).
    """

    def __init__(self, label_smoothing=0.0, dice_weight=0.0, **kwargs):
        super().__init__(**{"name": "cross_entropy", **kwargs})
        self.label_smoothing = label_smoothing
        self.dice_weight = dice_weight

    def call(self, targets, logits):
        logits = ops.cast(logits, "float32")
        shares = _as_shares(targets, logits)
        count = ops.sum(shares, axis=-1)
        if self.label_smoothing:
            even = self.label_smoothing / logits.shape[-1]
            shares = shares * (1 - self.label_smoothing) + (
                even * count[..., None]
            )
        loss = -ops.sum(shares * ops.log_softmax(logits, axis=-1), axis=-1)
        if self.dice_weight:
            loss = loss + self.dice_weight * _missing_dice(
                shares, ops.softmax(logits, axis=-1) * count[..., None]
            )
        return loss

    def get_config(self):
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "dice_weight": self.dice_weight,
        }


class Accuracy(keras.metrics.Mean):
    """Share of examples named right; targets as numbers or as shares."""

    def update_state(self, targets, logits, sample_weight=None):
        targets = _as_numbers(targets, logits)
        right = ops.equal(targets, ops.argmax(logits, axis=-1))
        super().update_state(ops.cast(right, "float32"), sample_weight)


class MeanIoU(keras.metrics.MeanIoU):
    """Intersection over union, averaged over the classes that occur."""

    def __init__(self, num_classes, name=None, **kwargs):
        super().__init__(
            num_classes,
            name=name,
            ignore_class=IGNORED,
            sparse_y_pred=False,
            **kwargs,
        )

    def update_state(self, targets, logits, sample_weight=None):
        targets = _as_numbers(targets, logits)
        super().update_state(targets, logits, sample_weight)

    def get_config(self):
        return {"num_classes": self.num_classes, "name": self.name}


def _as_shares(targets, logits):
    if len(targets.shape) == len(logits.shape):
        return ops.cast(targets, "float32")
    # A number past the last class, such as IGNORED, is a row of zeros.
    return ops.one_hot(ops.cast(targets, "int32"), logits.shape[-1])


def _as_numbers(targets, logits):
    if len(targets.shape) < len(logits.shape):
        return ops.cast(targets, "int32")
    told = ops.sum(targets, axis=-1) > 0
    return ops.where(told, ops.argmax(targets, axis=-1), IGNORED)


def _missing_dice(shares, probabilities):
    axes = tuple(range(len(shares.shape) - 1))
    both = ops.sum(shares * probabilities, axis=axes)
    each = ops.sum(shares + probabilities, axis=axes)
    return 1 - ops.mean((2 * both + 1) / (each + 1))
