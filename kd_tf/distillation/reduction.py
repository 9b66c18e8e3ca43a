"""Reduces what `Distiller.compute_losses` returns to one number a loss.

Shapes: B examples; "..." stands for axes that an example's loss may have.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from kd_tf.distillation.weighted_mean import weighted_mean

Tensor = Any


def reduce_losses(
    losses: Mapping[str, Tensor],
    *,
    outputs: Any,
    sample_weight: Any,
    labels: Any = None,
) -> dict[str, Tensor]:
    """Averages losses over the batch of this replica.

    Args:
        losses: {name: float scalar, or tensor (B, ...)}. A scalar is taken
            for the mean over the batch, weighted already.
        outputs: What the student returned. The Keras mask of an only output
            leaves values out, where it fits.
        sample_weight: Weights (B,) or (B, ...), or None. Where outputs have
            weights of their own, they do not apply to a tensor, which belongs
            to none of them.
        labels: Labels, nested in any way, or None.

    Returns:
        {name: float32 scalar}.

    Raises:
        ValueError: if a loss is neither a scalar nor a tensor (B, ...).
    """
    reduced = {}
    for name, loss in losses.items():
        if loss is None:
            raise ValueError(
                f"Loss '{name}' has no value. Return a scalar, a tensor (B,) "
                "or (B, ...), or leave it out. Received: None"
            )
        reduced[name] = ops.cast(loss, "float32")
        if len(reduced[name].shape) > 0:
            check_values(name, reduced[name], outputs, sample_weight, labels)
            reduced[name] = _mean(reduced[name], outputs, sample_weight)
    return reduced


def check_values(name: str, values: Tensor, *batch: Any) -> None:
    """Raises if a tensor is seen not to hold a value for each example.

    Args:
        name: Name of the loss, for the message.
        values: Tensor.
        *batch: Tensors (B, ...) of the same batch, nested in any way.

    Raises:
        ValueError: if so.
    """
    shape = tuple(values.shape)
    lengths = {
        tensor.shape[0]
        for tensor in keras.tree.flatten(batch)
        if tensor is not None and len(tensor.shape) > 0
    }
    # What is computed for each example inherits the length of the batch, or
    # that it is not known.
    if shape and shape[0] in (None, *lengths):
        return
    what = f"shape {shape}" if shape else "a scalar"
    raise ValueError(
        f"Loss '{name}' must give one value an example, a tensor (B,) or "
        f"(B, ...). Received: {what}"
    )


def _mean(loss: Tensor, outputs: Any, sample_weight: Any) -> Tensor:
    weights = keras.tree.flatten(sample_weight)
    weight = weights[0] if len(weights) == 1 else None
    flat = keras.tree.flatten(outputs)
    if len(flat) > 1:
        return weighted_mean(loss, weight)
    axes = _inner_axes(loss, flat[0])
    if axes and (weight is None or len(weight.shape) <= axes[0]):
        loss = ops.mean(loss, axis=axes)
    return weighted_mean(
        loss, weight, masked_by=flat[0] if _fits(loss, flat[0]) else None
    )


def _inner_axes(loss: Tensor, output: Tensor) -> tuple[int, ...]:
    """Axes beyond those of a mask of the output, which weigh alike."""
    return tuple(range(max(len(output.shape) - 1, 1), len(loss.shape)))


def _fits(loss: Tensor, output: Tensor) -> bool:
    """Whether a mask of the output, without its last axis, is one of a loss."""
    positions = output.shape[:-1]
    return len(positions) == len(loss.shape) and all(
        a == b or None in (a, b)
        for a, b in zip(loss.shape, positions, strict=True)
    )
