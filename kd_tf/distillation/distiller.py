"""Training of a student on labels and a teacher at once.

Shapes: B examples.
"""

import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from kd_tf.distillation.bound_loss import BoundLoss
from kd_tf.distillation.compatibility import check_models, check_outputs
from kd_tf.distillation.diagnosis import Diagnosis, diagnose
from kd_tf.distillation.epoch_means import EpochMeans, num_replicas
from kd_tf.distillation.layer_pairs import Pair
from kd_tf.distillation.loss_term import list_loss_terms
from kd_tf.distillation.random_states import random_states
from kd_tf.distillation.taps import Forward, Tapped
from kd_tf.distillation.teachers.frozen import FrozenTeacher
from kd_tf.models.graph import output_key
from kd_tf.schedules import Schedule, value_at

Tensor = Any


class Distiller(keras.Model):
    """Trains a student on labels and on the knowledge of a teacher.

    Compile, fit, evaluate and predict it like any Keras model; what it
    predicts, and what it saves, is the student alone. Its weights are the
    student's and the adapters'. The teacher is neither tracked nor changed.

    The loss minimized is, with w the student's weight,

        w * label loss + (1 - w) * sum of weight * distillation loss
            + regularization

    where sample weights weigh the losses alike, and the student's own
    regularization losses count in full whatever w is. Each loss stands in
    the history under its name, unweighted. With w = 0 data needs no labels,
    and `compile` no loss.

    To change which losses there are, override `compute_losses`; to change
    how they are combined, `combine`. All else follows.

    Args:
        student: `keras.Model` with logits, or values, as outputs.
        teacher: `keras.Model` with the same.
        losses: What to learn from the teacher: a loss by name, a function, a
            `LossTerm`, a `keras.distillation.DistillationLoss`, or a list of
            these. Where models have several outputs, a loss concerns each of
            them; a dict {name or index of an output: loss, list or None}
            gives each its own.
        student_weight: Weight of the label loss, in [0, 1], or a schedule:
            step -> number.
        teacher_input: Function from the student's input to the teacher's,
            such as a resizing; None if they are the same.
        name: Name of the model.

    Raises:
        ValueError: if an argument is out of its range, a layer does not
            exist, or a model whose logits are needed outputs probabilities.

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

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        losses: Any = "soft_targets",
        *,
        student_weight: float | Schedule = 0.1,
        teacher_input: Callable[[Any], Any] | None = None,
        name: str = "distiller",
    ) -> None:
        check_models(student, teacher)
        # The student's policy decides on loss scaling; it casts for itself.
        super().__init__(name=name, dtype=student.dtype_policy, autocast=False)
        _check_student_weight(student_weight)
        if not (teacher_input is None or callable(teacher_input)):
            raise ValueError(
                "`teacher_input` must be a function of the student's input. "
                f"Received: teacher_input={teacher_input!r}"
            )
        loss_terms = list_loss_terms(losses)
        for loss_term in loss_terms:
            loss_term.output = output_key(student, loss_term.output)
            check_outputs(student, teacher, loss_term=loss_term)
        self.student = student
        self.student_weight = student_weight
        self.bound_losses = [
            BoundLoss(loss_term, student, teacher=teacher)
            for loss_term in loss_terms
        ]
        pairs = [pair for loss in self.bound_losses for pair in loss.pairs]
        # Plain objects: Keras neither saves nor trains what they hold.
        self.tapped_student = Tapped(student, [s for s, _ in pairs])
        self.frozen_teacher = FrozenTeacher(
            teacher, [t for _, t in pairs], prepare=teacher_input
        )
        names = [bound_loss.name for bound_loss in self.bound_losses]
        self._means = EpochMeans(["student_loss", *names])
        self.built = student.built

    @property
    def teacher(self) -> keras.Model:
        """The teacher."""
        return self.frozen_teacher.model

    @property
    def adapter_parameters(self) -> int:
        """Number of parameters trained along and dropped at the end."""
        return sum(
            bound_loss.count_params() for bound_loss in self.bound_losses
        )

    @property
    def pairs(self) -> dict[str, list[Pair]]:
        """{loss: [(student layer, teacher layer)]}, of losses on layers."""
        return {b.name: list(b.pairs) for b in self.bound_losses if b.pairs}

    @property
    def schedules(self) -> dict[str, Schedule]:
        """{quantity in words: schedule} of all that changes with the step.

        For `kd_tf.schedules.record_schedule`.
        """
        values = {"student weight": self.student_weight}
        for number, bound_loss in enumerate(self.bound_losses, 1):
            loss_term = bound_loss.loss_term
            which = f"of loss {number}, {loss_term.loss_name}"
            values[f"weight {which}"] = loss_term.weight
            for argument, value in loss_term.arguments.items():
                values[f"{argument} {which}"] = value
        return {name: v for name, v in values.items() if callable(v)}

    @property
    def output_names(self) -> list[str]:
        """Names by which `compile` tells the losses of several outputs."""
        return self.student.output_names

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Metrics of the student and means of all losses."""
        return [*super().metrics, *self._means.metrics.values()]

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Runs the student."""
        return self.student(x, training=training)

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """One update of the student and the adapters."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        teacher = self.frozen_teacher(x)
        with tf.GradientTape() as tape:
            student = self.tapped_student(x, training=True)
            losses = self.compute_losses(x, y, student, teacher, sample_weight)
            total = self.combine(losses)
            scaled = self.optimizer.scale_loss(total)
        variables = self.trainable_variables
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self._logs(x, y, student, sample_weight, total, losses)

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """The losses and metrics of one batch."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        teacher = self.frozen_teacher(x)
        student = self.tapped_student(x, training=False)
        losses = self.compute_losses(x, y, student, teacher, sample_weight)
        total = self.combine(losses)
        return self._logs(x, y, student, sample_weight, total, losses)

    def compute_losses(
        self,
        x: Any,
        y: Any,
        student: Forward,
        teacher: Forward,
        sample_weight: Any,
    ) -> dict[str, Tensor]:
        """The losses of one batch, by name, each a scalar.

        Args:
            x: Inputs, B examples.
            y: Labels, as the compiled loss takes them, or None.
            student: `kd_tf.distillation.taps.Forward` of the student: its
                `outputs`, and the `activations` of the layers that its losses
                look at.
            teacher: `Forward` of the teacher.
            sample_weight: Weights, as Keras takes them, or None.

        Returns:
            Dict of float32 scalars: `student_loss` is what Keras would
            minimize without a teacher, labels and regularization, and is
            missing without labels; `regularization_loss` is its part in
            `student_loss`, missing where there is none; and each
            distillation loss, a weighted mean over the batch. Names of your
            own are distillation losses of weight 1, beside the others. All
            stand in the history.
        """
        losses = {}
        if y is not None and self._compile_loss is not None:
            losses["student_loss"] = self.compute_loss(
                x, y, student.outputs, sample_weight, training=student.training
            )
        if self.losses:
            losses["regularization_loss"] = _sum_of(self.losses)
        for bound_loss in self.bound_losses:
            losses[bound_loss.name] = bound_loss.loss(
                student,
                teacher,
                y=y,
                sample_weight=sample_weight,
                step=self.step,
            )
        return losses

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The scalar to minimize, out of what `compute_losses` returned."""
        for name, loss in losses.items():
            if len(loss.shape) > 0:
                raise ValueError(
                    f"Loss '{name}' must be reduced to a scalar, such as by "
                    f"keras.ops.mean. Received: shape {tuple(loss.shape)}"
                )
        if "student_loss" not in losses and self.student_weight != 0:
            raise ValueError(
                "There is no loss on labels. Give data with labels and a "
                "`loss` in compile(), or set student_weight=0. "
                f"Received: student_weight={self.student_weight}"
            )
        weights = self.loss_weights(losses)
        return sum(weights[name] * loss for name, loss in losses.items())

    def loss_weights(self, names: Iterable[str]) -> dict[str, Any]:
        """The factor of each loss at this step, {name: number}."""
        student_weight = value_at(self.student_weight, self.step)
        given = {loss.name: loss.loss_term.weight for loss in self.bound_losses}
        weights = {
            name: (1 - student_weight)
            * value_at(given.get(name, 1.0), self.step)
            for name in names
        }
        if "student_loss" in weights:
            # It carries the regularization already: with the rest of it,
            # which stands for itself, that counts in full.
            weights["student_loss"] = student_weight
        return weights

    def diagnose(self, data: Iterable[Any]) -> Diagnosis:
        """Measures what may go wrong, before training; changes nothing.

        Args:
            data: `tf.data.Dataset` or other iterable of batches, as `fit`
                takes them; all of it is used.

        Returns:
            `kd_tf.distillation.diagnosis.Diagnosis`: figures, and findings in
            sentences.
        """
        return diagnose(self, data)

    def save(
        self, filepath: Any, overwrite: bool = True, zipped: bool | None = None
    ) -> None:
        """Saves the student alone: a plain Keras model, no teacher inside."""
        self.student.save(filepath, overwrite=overwrite, zipped=zipped)

    def save_own_variables(self, store: Any) -> None:
        """Adds the states of random generators to what Keras saves."""
        super().save_own_variables(store)
        for name, state in random_states(self).items():
            store[name] = state.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Reads what `save_own_variables` stored."""
        names = store.keys()
        stored = {name: store[name] for name in names}
        for name, state in random_states(self).items():
            if name in stored:
                state.assign(stored.pop(name))
        super().load_own_variables(stored)

    def __dir__(self) -> list[str]:
        # Keras saves the weights of every model it finds here.
        return [name for name in super().__dir__() if name != "teacher"]

    @property
    def step(self) -> Any:
        """Number of updates so far, for schedules."""
        optimizer = getattr(self, "optimizer", None)
        return 0 if optimizer is None else optimizer.iterations

    def _logs(
        self,
        x: Any,
        y: Any,
        student: Forward,
        sample_weight: Any,
        total: Tensor,
        losses: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Of a step: what was computed in it, and nothing else."""
        num_examples = ops.shape(tf.nest.flatten(x)[0])[0]
        self._means.update(losses, num_examples=num_examples)
        self._loss_tracker.update_state(
            total * num_replicas(), sample_weight=num_examples
        )
        if y is None:
            metrics = [self._loss_tracker, *self._means.metrics.values()]
            logs = {metric.name: metric.result() for metric in metrics}
        else:
            logs = self.compute_metrics(x, y, student.outputs, sample_weight)
        return {
            name: value
            for name, value in logs.items()
            if name in losses or name not in self._means.metrics
        }


def _check_student_weight(student_weight: Any) -> None:
    if callable(student_weight):
        return
    is_number = isinstance(student_weight, numbers.Real)
    if not is_number or not 0 <= student_weight <= 1:
        raise ValueError(
            "`student_weight` must lie in [0, 1], or be a schedule. "
            f"Received: student_weight={student_weight!r}"
        )


def _sum_of(losses: Iterable[Tensor]) -> Tensor:
    # What a layer adds need be no scalar: Keras sums it up.
    total = sum(ops.sum(ops.cast(loss, "float32")) for loss in losses)
    return total / num_replicas()
