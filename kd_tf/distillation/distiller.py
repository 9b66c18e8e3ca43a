"""Training of a student on labels and a teacher at once.

Shapes: B examples.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from kd_tf.distillation.batch_losses import WithBatchLosses
from kd_tf.distillation.binding import bind_losses, tap_models
from kd_tf.distillation.compatibility import warn_if_swapped
from kd_tf.distillation.diagnosis import Diagnosis, diagnose
from kd_tf.distillation.epoch_means import EpochMeans, WithLossLogs
from kd_tf.distillation.loss_weights import LABELS, LossWeights
from kd_tf.distillation.probability_losses import refuse_label_losses
from kd_tf.distillation.replicas import divide_by_replicas
from kd_tf.distillation.student_file import SavedAsStudent
from kd_tf.distillation.taps import Forward
from kd_tf.distillation.teachers.frozen import without_gradient
from kd_tf.distillation.teachers.given import only_inputs
from kd_tf.schedules import Schedule

Tensor = Any


class Distiller(WithBatchLosses, WithLossLogs, SavedAsStudent):
    """Trains a student on labels and on the knowledge of a teacher.

    Compile, fit, evaluate and predict it like any Keras model; what it
    predicts, saves and exports is the student alone. Its weights are the
    student's and the adapters'. The teacher is neither tracked nor changed.

    The loss minimized is, with w the student's weight,

        w * label loss + (1 - w) * sum of weight * distillation loss
            + regularization

    where sample weights weigh the losses alike, and the student's own
    regularization losses count in full whatever w is. Each loss stands in
    the history under its name, unweighted: `student_loss` is the label loss
    alone, `regularization_loss` stands beside it. With w = 0 data needs no
    labels, and `compile` no loss.

    To change which losses there are, override `compute_losses`; to change
    how they are combined, `combine`. All else follows.

    Args:
        student: `keras.Model` with logits, or values, as outputs.
        teacher: `keras.Model` with the same. Or the student itself, some of
            whose outputs or layers then teach others (`teacher_output=` or
            `pairs=` of a `LossTerm`); or a list of models, of which each loss
            names one (`teacher=`); or None, where its outputs come with the
            data: x is {"inputs": ..., "teacher_outputs": ...}.
        losses: What to learn from the teacher: a loss by name, a function, a
            Keras layer called with both tensors, a `LossTerm`, a
            `keras.distillation.DistillationLoss`, or a list of these. Where
            models have several outputs, a loss concerns each of them; a dict
            {name or index of an output: loss, list or None} gives each its
            own.
        student_weight: Weight of the label loss, in [0, 1], or a schedule:
            step -> number. May be set again during training.
        teacher_input: Function from the student's input to the teacher's,
            such as a resizing; None if they are the same.
        taps: Layers whose activations a `compute_losses` of your own needs,
            {"student": paths, "teacher": paths}.
        name: Name of the model.

    Raises:
        ValueError: if an argument is out of its range, a layer does not
            exist, a model whose logits are needed outputs probabilities, or
            models differ in their number of classes.

    Example:
        distiller = Distiller(student, teacher, student_weight=0.1)
        distiller.compile(
            "adam",
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        distiller.fit(dataset, epochs=10)
        student.save("student.keras")

    Reference:
        Hinton et al., 2015, https://arxiv.org/abs/1503.02531, section 2.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Warns about the order of `keras.distillation.Distiller`."""
        warn_if_swapped(args)
        return super().__new__(cls, *args, **kwargs)

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model | Sequence[keras.Model] | None,
        losses: Any = "soft_targets",
        *,
        student_weight: float | Schedule = 0.1,
        teacher_input: Callable[[Any], Any] | None = None,
        taps: Mapping[str, Sequence[str]] | None = None,
        name: str = "distiller",
    ) -> None:
        bound_losses = bind_losses(losses, student, teacher=teacher)
        # The student's policy decides on loss scaling; it casts for itself.
        super().__init__(name=name, dtype=student.dtype_policy, autocast=False)
        self._loss_weights = LossWeights(
            student_weight, {b.name: b.loss_term.weight for b in bound_losses}
        )
        self.student = student
        self.bound_losses = bound_losses
        self.tapped_student, self.frozen_teacher = tap_models(
            *(bound_losses, student),
            teacher=teacher,
            teacher_input=teacher_input,
            taps=taps or {},
        )
        names = [bound_loss.name for bound_loss in bound_losses]
        self._means = EpochMeans([LABELS, *names])
        self.built = student.built

    @property
    def teacher(self) -> Any:
        """The teacher: a model, a list of several, or None."""
        return self.frozen_teacher.model

    @property
    def output_names(self) -> list[str]:
        """Names by which `compile` tells the losses of several outputs."""
        return self.student.output_names

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Configures training; arguments are those of `keras.Model.compile`.

        Args:
            optimizer: Optimizer of student and adapters.
            loss: Label loss of the student's logits (`from_logits=True`), or
                values; None where data has no labels.
            *args: Further arguments of Keras.
            **kwargs: Further arguments of Keras.

        Raises:
            ValueError: if the loss expects probabilities.
        """
        refuse_label_losses(loss, self.student)
        super().compile(optimizer, loss, *args, **kwargs)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Runs the student."""
        return self.student(only_inputs(x), training=training)

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """One update of the student and the adapters."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        teacher = self._run_teacher(x)
        with tf.GradientTape() as tape:
            student = self.tapped_student(x, training=True)
            teacher = teacher or without_gradient(student, training=True)
            losses = self.reduced_losses(x, y, student, teacher, sample_weight)
            total = self.combine(losses)
            scaled = self.optimizer.scale_loss(divide_by_replicas(total))
        variables = self.trainable_variables
        self._check_trainable(variables)
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self.log_step(x, y, student, sample_weight, losses, total)

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """The losses and metrics of one batch."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        teacher = self._run_teacher(x)
        student = self.tapped_student(x, training=False)
        teacher = teacher or without_gradient(student, training=False)
        losses = self.reduced_losses(x, y, student, teacher, sample_weight)
        total = self.combine(losses)
        return self.log_step(x, y, student, sample_weight, losses, total)

    def diagnose(
        self,
        data: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        steps: int | None = None,
        batch_size: int | None = None,
    ) -> Diagnosis:
        """Measures what may go wrong, before training; changes nothing.

        Args:
            data: As `fit` takes it: arrays, a dataset, a generator.
            y: Labels, where `data` is inputs as arrays.
            sample_weight: Weights, where `data` is inputs as arrays.
            steps: Number of batches at most; None for all.
            batch_size: B, where `data` is arrays; 32 if None.

        Returns:
            `kd_tf.distillation.diagnosis.Diagnosis`: figures, and findings in
            sentences.
        """
        return diagnose(
            self,
            data,
            y,
            sample_weight=sample_weight,
            steps=steps,
            batch_size=batch_size,
        )

    def _run_teacher(self, x: Any) -> Forward | None:
        # A student that teaches itself does so by its own single pass.
        return None if self.teacher is self.student else self.frozen_teacher(x)

    def _check_trainable(self, variables: Sequence[Any]) -> None:
        if not variables:
            raise ValueError(
                "There is nothing to train. Set student.trainable = True, or "
                "that of some of its layers. Received: a student with "
                f"{len(self.student.weights)} weights, all frozen"
            )
