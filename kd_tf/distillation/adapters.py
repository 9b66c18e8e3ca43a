"""Layers that bring a student's activation to the shape of its teacher's.

They are trained along with the student and dropped when it is saved. All
compute in float32. Shapes: B examples, C channels, along the last axis; "..."
stands for the grid between them.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kd_tf.distillation.taps import Shape
from kd_tf.losses.grids import resize_grid

Tensor = Any


class ShapeAdapter(keras.layers.Layer):
    """Makes width or grid equal, where they are not.

    A dense layer along the last axis, which on a grid is a 1x1 convolution,
    makes widths equal; averaging and linear interpolation make grids equal.

    Args:
        student_shape: Shape of the student's activation, batch axis first.
        teacher_shape: Shape of the teacher's.
        equal: What must be equal afterwards: "width", "grid", both or none.

    Raises:
        ValueError: if one has a grid and the other has not, or the grids
            differ in their number of axes.
    """

    def __init__(
        self,
        student_shape: Shape,
        teacher_shape: Shape,
        *,
        equal: Sequence[str] = ("width", "grid"),
    ) -> None:
        super().__init__(dtype="float32")
        if equal and len(student_shape) != len(teacher_shape):
            raise ValueError(
                "Activations of different rank cannot be made equal. Pair two "
                "grids with the same number of axes, or two vectors. Received: "
                f"student {student_shape}, teacher {teacher_shape}"
            )
        widths = student_shape[-1], teacher_shape[-1]
        self._project = None
        if "width" in equal and widths[0] != widths[1]:
            self._project = keras.layers.Dense(widths[1], dtype="float32")
            self._project.build(student_shape)
        self._resizes = "grid" in equal and (
            None in student_shape[1:]
            or None in teacher_shape[1:]
            or student_shape[1:-1] != teacher_shape[1:-1]
        )
        self.built = True

    def call(
        self, student: Tensor, teacher: Tensor, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Returns the leading arguments of the loss.

        Args:
            student: Float tensor (B, ..., C of the student).
            teacher: Float tensor (B, ..., C of the teacher).
            training: Whether the student is in training mode.
        """
        return self.adapt(student, teacher), teacher

    def adapt(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Returns the student's activation in the teacher's shape."""
        if self._resizes:
            student = resize_grid(student, _grid(teacher))
        if self._project is not None:
            student = self._project(student)
        return student


class VarianceAdapter(ShapeAdapter):
    """Adds a learned variance for each channel of the teacher.

    Args:
        student_shape: As of `ShapeAdapter`.
        teacher_shape: As of `ShapeAdapter`.
        equal: As of `ShapeAdapter`.

    Reference:
        Ahn et al., 2019, https://arxiv.org/abs/1904.05835, section 3.1: all
        variances begin at 5.
    """

    def __init__(
        self,
        student_shape: Shape,
        teacher_shape: Shape,
        *,
        equal: Sequence[str] = ("width", "grid"),
    ) -> None:
        super().__init__(student_shape, teacher_shape, equal=equal)
        # Keras adds weights only to a layer that is not built.
        self.built = False
        self._raw_variance = self.add_weight(
            shape=(teacher_shape[-1],),
            # softplus of this is 5
            initializer=keras.initializers.Constant(4.9932393),
            name="raw_variance",
        )
        self.built = True

    def call(
        self, student: Tensor, teacher: Tensor, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Returns student, teacher and the raw variances, (C,)."""
        return self.adapt(student, teacher), teacher, self._raw_variance


class MaskedGenerationAdapter(ShapeAdapter):
    """Hides half the positions, and generates them by two convolutions.

    Nothing is hidden outside training.

    Args:
        student_shape: As of `ShapeAdapter`.
        teacher_shape: As of `ShapeAdapter`, with a grid.
        equal: As of `ShapeAdapter`.

    Reference:
        Yang et al., 2022, https://arxiv.org/abs/2205.01529, section 3.1.
    """

    _HIDDEN_FRACTION = 0.5

    def __init__(
        self,
        student_shape: Shape,
        teacher_shape: Shape,
        *,
        equal: Sequence[str] = ("width", "grid"),
    ) -> None:
        super().__init__(student_shape, teacher_shape, equal=equal)
        self.built = False
        self._seed = keras.random.SeedGenerator()
        convolution = {
            3: keras.layers.Conv1D,
            4: keras.layers.Conv2D,
            5: keras.layers.Conv3D,
        }[len(teacher_shape)]
        # Attribute names are part of the layout of saved checkpoints.
        self._draw = [
            convolution(
                teacher_shape[-1],
                3,
                padding="same",
                activation=activation,
                data_format="channels_last",
                dtype="float32",
            )
            for activation in ("relu", None)
        ]
        for layer in self._draw:
            layer.build(teacher_shape)
        self.built = True

    def call(
        self, student: Tensor, teacher: Tensor, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Returns the generated activation and the teacher's."""
        student = self.adapt(student, teacher)
        if training:
            positions = (*ops.shape(student)[:-1], 1)
            chance = keras.random.uniform(positions, seed=self._seed)
            is_shown = ops.cast(chance >= self._HIDDEN_FRACTION, "float32")
            student = student * is_shown
        for layer in self._draw:
            student = layer(student)
        return student, teacher


def _grid(x: Tensor) -> tuple[Any, ...]:
    """Lengths of the axes between the first and the last."""
    return tuple(ops.shape(x)[1:-1])
