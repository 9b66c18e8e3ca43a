"""The losses of one batch, between a student and its teacher.

Shapes: B examples; "..." stands for axes that the loss of an example may have.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from keras import ops

from kd_tf.distillation.bound_loss import BoundLoss
from kd_tf.distillation.layer_pairs import Pair
from kd_tf.distillation.loss_weights import (
    LABELS,
    REGULARIZATION,
    WithLossWeights,
)
from kd_tf.distillation.reduction import reduce_losses
from kd_tf.distillation.replicas import undo_division
from kd_tf.distillation.taps import Forward
from kd_tf.schedules import Schedule

Tensor = Any


class WithBatchLosses(WithLossWeights):
    """A model that computes, reduces and adds up the losses of a batch.

    Attributes:
        bound_losses: Distillation losses; subclasses set them.
    """

    bound_losses: list[BoundLoss]

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
            values[f"weight {which}"] = self._loss_weights[bound_loss.name]
            for argument, value in loss_term.arguments.items():
                values[f"{argument} {which}"] = value
        return {name: v for name, v in values.items() if callable(v)}

    def compute_losses(
        self,
        x: Any,
        y: Any,
        student: Forward,
        teacher: Forward,
        sample_weight: Any,
    ) -> dict[str, Tensor]:
        """The losses of one batch, by name; override it to add your own.

        Return a loss unreduced, shaped (B,) or (B, ...): the Distiller takes
        its mean as Keras does, with sample weights, with the mask of the
        student's output where that fits, and over all replicas of a
        distribution strategy. A scalar is taken for a mean over the batch of
        this replica, weighted already, and is only averaged over replicas; so
        give no `keras.losses.Loss` but with reduction=None, for others divide
        by the number of replicas themselves.

        Args:
            x: Inputs, B examples.
            y: Labels, as the compiled loss takes them, or None.
            student: `kd_tf.distillation.taps.Forward` of the student: its
                `outputs`, and the `activations` of the layers that its losses
                look at.
            teacher: `Forward` of the teacher. Of several, `outputs` is a list
                and `activations` a dict, by index.
            sample_weight: Weights, as Keras takes them, or None.

        Returns:
            Dict of float tensors: `student_loss` is the compiled loss on
            labels, missing without labels; `regularization_loss` what the
            student's layers add, missing where they add nothing; and each
            distillation loss, already a weighted mean over the batch. Names
            of your own are distillation losses of weight 1, beside the
            others. All stand in the history.
        """
        losses = {}
        if y is not None and self._compile_loss is not None:
            losses[LABELS] = undo_division(
                self.compute_loss(
                    *(x, y, student.outputs, sample_weight),
                    training=student.training,
                )
            )
        if self.losses:
            losses[REGULARIZATION] = _sum_of(self.losses)
        for bound_loss in self.bound_losses:
            losses[bound_loss.name] = bound_loss.loss(
                student,
                teacher,
                y=y,
                sample_weight=sample_weight,
                step=self.step,
            )
        return losses

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The compiled loss on labels, without regularization."""
        return self._compile_loss(y, y_pred, sample_weight)

    def reduced_losses(
        self,
        x: Any,
        y: Any,
        student: Forward,
        teacher: Forward,
        sample_weight: Any,
    ) -> dict[str, Tensor]:
        """What `compute_losses` returns, each reduced to a float32 scalar.

        These are means over the batch of this replica. Arguments are those
        of `compute_losses`.
        """
        losses = self.compute_losses(x, y, student, teacher, sample_weight)
        return reduce_losses(
            losses,
            outputs=student.outputs,
            sample_weight=sample_weight,
            labels=y,
        )

    def combine(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The scalar to minimize, out of what `reduced_losses` returned."""
        if LABELS not in losses and self.student_weight != 0:
            raise ValueError(
                "There is no loss on labels. Give data with labels and a "
                "`loss` in compile(), or set student_weight=0. "
                f"Received: student_weight={self.student_weight}"
            )
        weights = self.loss_weights(losses)
        return sum(weights[name] * loss for name, loss in losses.items())


def _sum_of(losses: Iterable[Tensor]) -> Tensor:
    # What a layer adds need be no scalar: Keras sums it up.
    return sum(ops.sum(ops.cast(loss, "float32")) for loss in losses)
