"""Distillation losses of Keras itself, made to serve beside our own."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kd_tf.distillation.loss_table import LossSpec
from kd_tf.distillation.replicas import undo_division

Tensor = Any


def keras_loss_spec(
    keras_loss: keras.distillation.DistillationLoss,
) -> LossSpec:
    """The spec of one of Keras's losses, which has no row in the table."""
    kind = type(keras_loss)
    return LossSpec(
        f"{kind.__module__}:{kind.__qualname__}",
        takes_all_outputs=True,
        # It applies softmax; the others take what they are given.
        takes_logits=isinstance(
            keras_loss, keras.distillation.LogitsDistillation
        ),
        equal=("width", "grid"),
        title=f"keras.distillation, {kind.__name__}",
    )


def keras_loss_function(
    keras_loss: keras.distillation.DistillationLoss,
) -> Callable[[Any, Any], Tensor]:
    """Function of the outputs of student and teacher to a float32 scalar.

    The scalar is a mean over the batch of a replica.
    """
    inner = keras.tree.flatten(getattr(keras_loss, "loss", None))
    divides = any(isinstance(loss, keras.losses.Loss) for loss in inner)

    def function(student: Any, teacher: Any) -> Tensor:
        keras_loss.validate_outputs(teacher, student)
        loss = ops.cast(keras_loss.compute_loss(teacher, student), "float32")
        # Keras's loss objects divide by the replicas, its functions do not.
        return undo_division(loss) if divides else loss

    return function


def keras_layer_pairs(loss: Any) -> list[tuple[str, str]] | None:
    """The layer pair that a loss of Keras's names itself, or None.

    Args:
        loss: Whatever a `LossTerm` was given.

    Raises:
        ValueError: if it names a layer of one model alone.
    """
    if not isinstance(loss, keras.distillation.FeatureDistillation):
        return None
    names = loss.student_layer_name, loss.teacher_layer_name
    if names == (None, None):
        return None
    if None in names:
        raise ValueError(
            "`FeatureDistillation` must name a layer of both models, or of "
            f"neither. Received: student_layer_name={names[0]!r}, "
            f"teacher_layer_name={names[1]!r}"
        )
    return [names]
