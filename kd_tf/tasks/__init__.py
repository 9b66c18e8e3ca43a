"""What is asked of a model: the kinds of targets, and what answers mean.

N examples, C classes or values; D is any number of further axes.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

IGNORED = 255  # the pixel of a mask that no class is asked of


@dataclasses.dataclass(frozen=True)
class Task:
    """One kind of target.

    Attributes:
        score: What a model is chosen and judged by; more is better.
        title: The score in words.
        distills: Loss and temperature of a distillation that names none.
        count: (targets (n, ...), C) -> int array (C,): how often each class
            is among them. Refuses targets that are none.
        decide: Answers (N, ..., C) -> what they say: class numbers (N, ...),
            yes or no (N, C), values (N, C).
        per_pixel: Whether every pixel has an answer of its own.
        has_values: Whether targets are quantities, not classes.
        probabilities: Answers -> float array of the same shape in [0, 1], or
            None where there are none.
    """

    score: str
    title: str
    distills: tuple[str, float]
    count: Callable
    decide: Callable
    per_pixel: bool = False
    has_values: bool = False
    probabilities: Callable | None = None


def softmax(logits):
    """Along the last axis, in float32."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    exp = np.exp(shifted, dtype="float32")
    return exp / exp.sum(axis=-1, keepdims=True)


def sigmoid(logits):
    """In float32, without overflow."""
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype("float32")


def _greatest(logits):
    return logits.argmax(axis=-1)


def _count_numbers(targets, num_classes):
    if targets.size and not (
        targets.min() >= 0 and targets.max() < num_classes
    ):
        raise ValueError(
            f"A label is no class number. Allowed: 0 to {num_classes - 1}. "
            f"Received: {targets.min()} to {targets.max()}"
        )
    return np.bincount(targets.reshape(-1), minlength=num_classes)


def _count_pixels(targets, num_classes):
    return _count_numbers(targets[targets != IGNORED], num_classes)


def _count_yes(targets, num_classes):
    if not np.isin(targets, (0, 1)).all():
        raise ValueError(
            "A label is neither yes nor no. Allowed: 0 or 1 for each of the "
            f"{num_classes} classes. Received: {targets.min()} to "
            f"{targets.max()}"
        )
    return targets.sum(axis=0, dtype=int)


def _count_values(targets, num_values):
    if not np.isfinite(targets).all():
        raise ValueError(
            "A target is no number. Allowed: finite values. Received: NaN or "
            "infinity"
        )
    return np.full(num_values, len(targets))


TASKS = {
    "classification": Task(
        score="accuracy",
        title="accuracy",
        distills=("soft_targets", 4.0),
        count=_count_numbers,
        decide=_greatest,
        probabilities=softmax,
    ),
    "multilabel": Task(
        score="mean_average_precision",
        title="mean average precision",
        distills=("sigmoid_targets", 1.0),
        count=_count_yes,
        decide=lambda logits: logits > 0,
        probabilities=sigmoid,
    ),
    "segmentation": Task(
        score="mean_iou",
        title="mean IoU",
        distills=("soft_targets", 1.0),
        count=_count_pixels,
        decide=_greatest,
        per_pixel=True,
        probabilities=softmax,
    ),
    "regression": Task(
        score="r2",
        title="R²",
        distills=("value_matching", 1.0),
        count=_count_values,
        decide=lambda values: values,
        has_values=True,
    ),
}
