"""Labels of classes, and outputs that have none.

Shapes: B examples, C classes; "..." stands for the axes between them, such as
height and width where every pixel has an output.
"""

from typing import Any

from keras import ops

Tensor = Any


def one_hot_labels(labels: Tensor, logits: Tensor) -> Tensor:
    """Brings labels to the shape of the logits.

    Args:
        labels: Classes (B, ...) or (B, ..., 1), or fractions of them
            (B, ..., C). Classes outside of [0, C), such as 255 or -1, stand
            for no label.
        logits: Float tensor (B, ..., C).

    Returns:
        Float32 tensor (B, ..., C), all 0 where there is no label.
    """
    rank, num_classes = len(logits.shape), logits.shape[-1]
    if len(labels.shape) == rank and labels.shape[-1] == num_classes:
        return ops.cast(labels, "float32")
    if len(labels.shape) == rank and labels.shape[-1] == 1:
        labels = ops.squeeze(labels, axis=-1)
    return ops.one_hot(ops.cast(labels, "int32"), num_classes, dtype="float32")


def has_label(fractions: Tensor) -> Tensor:
    """Says which outputs have a label: bool (B, ...) of (B, ..., C)."""
    return ops.sum(fractions, axis=-1) > 0


def labelled_only(values: Tensor, is_labelled: Tensor) -> Tensor:
    """Leaves out the values of outputs that have no label.

    Args:
        values: Float32 tensor (B, ...).
        is_labelled: Bool tensor (B, ...).

    Returns:
        Float32 tensor (B, ...): 0 without gradient where there is no label.
        Its Keras mask says so, as with `ignore_class` of Keras's own losses,
        so that Keras averages over the others alone.
    """
    values = ops.where(is_labelled, values, ops.zeros_like(values))
    values._keras_mask = is_labelled
    return values
