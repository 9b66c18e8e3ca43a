"""Teachers in inference mode, whose weights stay as they are."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kd_tf.distillation.taps import Forward, Tapped


class FrozenTeacher:
    """Runs a model in inference mode, and lets no gradient through.

    Not a Keras layer, on purpose: whoever holds it does not save it, does
    not train it and does not change its `trainable`.

    Args:
        model: `keras.Model`.
        paths: Layers whose activations are needed, too.
        prepare: Function from the student's input to this model's, or None.

    Attributes:
        model: The model.

    Raises:
        ValueError: if the model has no such layer.

    Example:
        teacher = FrozenTeacher(model, ["stage3"])
        forward = teacher(images)
        forward.outputs, forward.activations["stage3"]
    """

    def __init__(
        self,
        model: keras.Model,
        paths: Sequence[str] = (),
        *,
        prepare: Callable[[Any], Any] | None = None,
    ) -> None:
        self.model = model
        self._tapped = Tapped(model, paths)
        self._prepare = prepare or (lambda x: x)

    def __call__(self, x: Any) -> Forward:
        """Runs the model on a batch.

        Args:
            x: Inputs of the student, as tensors.

        Returns:
            `Forward`, without gradient.
        """
        return without_gradient(
            self._tapped(self._prepare(x), training=False), training=False
        )


class FrozenTeachers:
    """Runs several teachers on the same batch.

    Args:
        teachers: Two or more `FrozenTeacher`s.

    Attributes:
        model: List of their models.
    """

    def __init__(self, teachers: Sequence[FrozenTeacher]) -> None:
        self.model = [teacher.model for teacher in teachers]
        self._teachers = list(teachers)

    def __call__(self, x: Any) -> Forward:
        """Runs the models on a batch.

        Args:
            x: Inputs of the student, as tensors.

        Returns:
            `Forward` whose `outputs` are a list of those of each teacher, and
            whose `activations` are {index of a teacher: its own}.
        """
        forwards = [teacher(x) for teacher in self._teachers]
        return Forward(
            [forward.outputs for forward in forwards],
            {i: forward.activations for i, forward in enumerate(forwards)},
        )


def forward_of(teachers: Forward, index: int) -> Forward:
    """The `Forward` of one out of several teachers.

    Args:
        teachers: What `FrozenTeachers` returned.
        index: Index of the teacher.
    """
    return Forward(teachers.outputs[index], teachers.activations[index])


def without_gradient(forward: Forward, *, training: bool) -> Forward:
    """A `Forward` through which no gradient flows.

    Args:
        forward: `Forward`.
        training: Whether it counts as one in training mode.
    """
    outputs, activations = tf.nest.map_structure(
        tf.stop_gradient, (forward.outputs, forward.activations)
    )
    return Forward(outputs, activations, training)
