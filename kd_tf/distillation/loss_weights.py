"""The factor of each loss in their sum, which may change during training."""

import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from kd_tf.distillation.loss_arguments import check_range
from kd_tf.ranges import NonNegative
from kd_tf.schedules import Schedule, value_at

LABELS = "student_loss"
REGULARIZATION = "regularization_loss"


class LossWeights:
    """Weights of losses: numbers, or schedules.

    A number is a constant of the compiled step, until it is changed for the
    first time. From then on it is a variable, and further changes cost
    nothing. Variables are not saved: what a callback sets, it sets again.

    Args:
        student_weight: Weight of the label loss.
        of_losses: {distillation loss: weight}.

    Raises:
        ValueError: if a weight is out of its range.
    """

    def __init__(
        self, student_weight: Any, of_losses: Mapping[str, Any]
    ) -> None:
        self._values = {LABELS: student_weight, **of_losses}
        self._variables: dict[str, tf.Variable] = {}
        _check_student_weight(student_weight)

    def __getitem__(self, name: str) -> Any:
        """The number or schedule of a loss."""
        return self._values[name]

    def change(self, name: str, value: Any) -> bool:
        """Gives a loss another weight.

        Args:
            name: Name of the loss.
            value: Number or schedule.

        Returns:
            Whether steps that are compiled must be compiled anew.

        Raises:
            ValueError: if there is no such loss, or the weight is out of its
                range.
        """
        if name not in self._values:
            known = [known for known in self._values if known != LABELS]
            raise ValueError(
                f"There is no distillation loss '{name}'. Allowed: "
                f"{', '.join(known)}. Received: '{name}'"
            )
        (_check_student_weight if name == LABELS else check_weight)(value)
        self._values[name] = value
        if callable(value):
            self._variables.pop(name, None)
            return True
        if name in self._variables:
            self._variables[name].assign(value)
            return False
        with tf.init_scope():
            self._variables[name] = tf.Variable(value, dtype="float32")
        return True

    def factors(self, names: Iterable[str], step: Any) -> dict[str, Any]:
        """The factor of each loss at a step.

        Args:
            names: Names of losses; those without a weight have 1.
            step: Scalar, for schedules.

        Returns:
            {name: number, or scalar tensor}.
        """
        student_weight = self._at(LABELS, step)
        factors = {
            name: (1 - student_weight) * self._at(name, step) for name in names
        }
        # The student's own regularization counts in full.
        whole = {LABELS: student_weight, REGULARIZATION: 1.0}
        return {name: whole.get(name, f) for name, f in factors.items()}

    def _at(self, name: str, step: Any) -> Any:
        if name in self._variables:
            return self._variables[name].read_value()
        return value_at(self._values.get(name, 1.0), step)


class WithLossWeights(keras.Model):
    """A model whose losses have weights that may change during training.

    Its constructor sets `_loss_weights`, after that of Keras.
    """

    _loss_weights: LossWeights

    @property
    def student_weight(self) -> float | Schedule:
        """Weight of the label loss; may be set during training."""
        return self._loss_weights[LABELS]

    @student_weight.setter
    def student_weight(self, value: float | Schedule) -> None:
        self._change_weight(LABELS, value)

    def set_loss_weight(self, name: str, weight: float | Schedule) -> None:
        """Changes the weight of a distillation loss, during training too.

        The first change of a number compiles the step once more, further
        ones cost nothing. Weights are not part of a checkpoint.

        Args:
            name: Name of the loss in the history.
            weight: Number, 0 or more, or a schedule: step -> number.

        Raises:
            ValueError: if there is no such loss, or the weight is out of its
                range.
        """
        self._change_weight(name, weight)

    def _change_weight(self, name: str, value: Any) -> None:
        if self._loss_weights.change(name, value):
            if self.train_function is not None:
                self.make_train_function(force=True)
            if self.test_function is not None:
                self.make_test_function(force=True)

    def loss_weights(self, names: Iterable[str]) -> dict[str, Any]:
        """The factor of each loss at this step, {name: number}."""
        return self._loss_weights.factors(names, self.step)

    @property
    def step(self) -> Any:
        """Number of updates so far, for schedules."""
        optimizer = getattr(self, "optimizer", None)
        return 0 if optimizer is None else optimizer.iterations


def check_weight(weight: Any) -> None:
    """Raises if a loss cannot have this weight.

    Args:
        weight: Number, or schedule.

    Raises:
        ValueError: if it is neither, negative, NaN or infinite.
    """
    if not (callable(weight) or isinstance(weight, numbers.Real)):
        raise ValueError(
            "`weight` must be a number or a schedule. "
            f"Received: weight={weight!r}"
        )
    check_range("weight", weight, annotation=NonNegative)


def _check_student_weight(student_weight: Any) -> None:
    if callable(student_weight):
        return
    is_number = isinstance(student_weight, numbers.Real)
    if not is_number or not 0 <= student_weight <= 1:
        raise ValueError(
            "`student_weight` must lie in [0, 1], or be a schedule. "
            f"Received: student_weight={student_weight!r}"
        )
