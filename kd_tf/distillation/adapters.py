"""Layers that bring a student's activation to the shape of its teacher's.

They are trained along with the student and dropped when it is saved. All
compute in float32. Shapes: B examples, C channels, along the last axis; "..."
stands for the grid between them; T for tokens.

An adapter is a Keras layer that is called as

    adapter(student, teacher, training=training)

with the activations of a pair, and returns the leading arguments of the loss:
the two tensors, and whatever else the loss takes before its keyword arguments.
Its weights are trained, counted and checkpointed with the Distiller.
`kd_tf.distillation.own_adapters` makes one of what a user gives.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kd_tf.distillation.grid_matching import (
    MOST_AXES,
    check_ranks,
    check_resizable,
    match_grid,
    token_grids,
    tokens_to_grid,
    with_grid,
)
from kd_tf.distillation.taps import Shape

Tensor = Any


class ShapeAdapter(keras.layers.Layer):
    """Makes width or grid equal, where they are not.

    A dense layer along the last axis, which on a grid is a 1x1 convolution,
    makes widths equal; averaging and linear interpolation make grids equal.
    Of a grid (B, H, W, C) and tokens (B, T, C), as of a convolutional network
    and a transformer, the tokens become a grid of the same shape: row by row,
    without a class token and a distillation token before them.

    Args:
        student_shape: Shape of the student's activation, batch axis first.
        teacher_shape: Shape of the teacher's.
        equal: What must be equal afterwards: "width", "grid", both or none.
        always_projects: Whether there is a projection even where the widths
            are equal; None for what the class does.

    Raises:
        ValueError: if one has a grid and the other has not, the grids differ
            in their number of axes, tokens form no grid, or grids of more
            than three axes differ.
    """

    _ALWAYS_PROJECTS = False
    _WITH_BIAS = True

    def __init__(
        self,
        student_shape: Shape,
        teacher_shape: Shape,
        *,
        equal: Sequence[str] = ("width", "grid"),
        always_projects: bool | None = None,
    ) -> None:
        super().__init__(dtype="float32")
        # Without need to be equal, both stay as they are.
        self._tokens = (
            token_grids(student_shape, teacher_shape) if equal else (None, None)
        )
        student_shape = with_grid(student_shape, self._tokens[0])
        self.teacher_shape = with_grid(teacher_shape, self._tokens[1])
        if equal:
            check_ranks(student_shape, self.teacher_shape)
        width = self.teacher_shape[-1]
        if always_projects is None:
            always_projects = self._ALWAYS_PROJECTS
        self._project = None
        if always_projects or ("width" in equal and student_shape[-1] != width):
            self._project = keras.layers.Dense(
                width, use_bias=self._WITH_BIAS, dtype="float32"
            )
            self._project.build(student_shape)
        self._resizes = "grid" in equal and (
            None in student_shape[1:]
            or None in self.teacher_shape[1:]
            or student_shape[1:-1] != self.teacher_shape[1:-1]
        )
        if self._resizes:
            check_resizable(student_shape, self.teacher_shape)
        self._build_more(teacher_shape)
        self.built = True

    def _build_more(self, teacher_shape: Shape) -> None:
        """Makes the further layers and weights of a subclass.

        Args:
            teacher_shape: Shape of the teacher's activation, as it was given;
                `self.teacher_shape` is that of its grid.
        """

    def call(
        self, student: Tensor, teacher: Tensor, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Returns the leading arguments of the loss.

        Args:
            student: Float tensor (B, ..., C of the student).
            teacher: Float tensor (B, ..., C of the teacher).
            training: Whether the student is in training mode.
        """
        return self.adapt(student, teacher)

    def adapt(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the student's activation in the shape of the teacher's.

        The teacher's is changed by nothing but a step from tokens to a grid.
        """
        student = tokens_to_grid(student, self._tokens[0])
        teacher = tokens_to_grid(teacher, self._tokens[1])
        if self._resizes:
            student = match_grid(student, teacher)
        if self._project is not None:
            student = self._project(student)
        return student, teacher


class ProjectionWithNorm(ShapeAdapter):
    """Always projects the student, and normalizes what comes out.

    A 1x1 convolution without bias and a batch normalization.

    Args:
        student_shape: As of `ShapeAdapter`.
        teacher_shape: As of `ShapeAdapter`.
        equal: As of `ShapeAdapter`.
        always_projects: As of `ShapeAdapter`.

    Reference:
        Liu et al., 2021, https://arxiv.org/abs/2202.03680; as in the authors'
        code, https://github.com/ADLab-AutoDrive/ICKD.
    """

    _ALWAYS_PROJECTS = True
    _WITH_BIAS = False

    def _build_more(self, teacher_shape: Shape) -> None:
        self._norm = keras.layers.BatchNormalization(dtype="float32")
        self._norm.build(self.teacher_shape)

    def call(
        self, student: Tensor, teacher: Tensor, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Returns the normalized projection and the teacher's activation."""
        student, teacher = self.adapt(student, teacher)
        return self._norm(student, training=training), teacher


class VarianceAdapter(ShapeAdapter):
    """Always projects, and adds a variance for each channel of the teacher.

    The projection is the network that makes the means.

    Args:
        student_shape: As of `ShapeAdapter`.
        teacher_shape: As of `ShapeAdapter`.
        equal: As of `ShapeAdapter`.
        always_projects: As of `ShapeAdapter`.

    Reference:
        Ahn et al., 2019, https://arxiv.org/abs/1904.05835, section 3.1: all
        variances begin at 5.
    """

    _ALWAYS_PROJECTS = True

    def _build_more(self, teacher_shape: Shape) -> None:
        self._raw_variance = self.add_weight(
            shape=(teacher_shape[-1],),
            # softplus of this is 5
            initializer=keras.initializers.Constant(4.9932393),
            name="raw_variance",
        )

    def call(
        self, student: Tensor, teacher: Tensor, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Returns student, teacher and the raw variances, (C,)."""
        return *self.adapt(student, teacher), self._raw_variance


class MaskedGenerationAdapter(ShapeAdapter):
    """Hides half the positions, and generates them by two convolutions.

    Nothing is hidden outside training.

    Args:
        student_shape: As of `ShapeAdapter`.
        teacher_shape: As of `ShapeAdapter`, with a grid.
        equal: As of `ShapeAdapter`.
        always_projects: As of `ShapeAdapter`.

    Reference:
        Yang et al., 2022, https://arxiv.org/abs/2205.01529, section 3.1.
    """

    _HIDDEN_FRACTION = 0.5

    def _build_more(self, teacher_shape: Shape) -> None:
        shape = self.teacher_shape
        if not 3 <= len(shape) <= MOST_AXES + 2:
            raise ValueError(
                f"Masked generation needs a grid of 1 to {MOST_AXES} axes. "
                f"Pair other layers. Received: teacher {teacher_shape}"
            )
        self._seed = keras.random.SeedGenerator()
        convolution = {
            3: keras.layers.Conv1D,
            4: keras.layers.Conv2D,
            5: keras.layers.Conv3D,
        }[len(shape)]
        # Attribute names are part of the layout of saved checkpoints.
        self._draw = [
            convolution(
                shape[-1],
                3,
                padding="same",
                activation=activation,
                data_format="channels_last",
                dtype="float32",
            )
            for activation in ("relu", None)
        ]
        for layer in self._draw:
            layer.build(shape)

    def call(
        self, student: Tensor, teacher: Tensor, training: bool = False
    ) -> tuple[Tensor, ...]:
        """Returns the generated activation and the teacher's."""
        student, teacher = self.adapt(student, teacher)
        if training:
            positions = (*ops.shape(student)[:-1], 1)
            chance = keras.random.uniform(positions, seed=self._seed)
            is_shown = ops.cast(chance >= self._HIDDEN_FRACTION, "float32")
            student = student * is_shown
        for layer in self._draw:
            student = layer(student)
        return student, teacher
