"""What every task says of its targets and outputs.

Shapes: N examples, n of them in a batch; C classes or values; "..." stands
for the grid where every pixel has a target of its own, else for nothing.
"""

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

from kd_tf.results import ScoreRecord

if TYPE_CHECKING:
    import keras

IGNORED = 255  # the value of a pixel that counts for nothing


class Score(Protocol):
    """Scores that are accumulated batch by batch."""

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Takes float32 (n, ..., C) and targets (n, ...).

        Returns:
            The loss of each example, float (n,).
        """

    def result(self) -> ScoreRecord:
        """The scores so far; the task's own is among them."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Curves and counts to draw from."""


class Agreement(Protocol):
    """How far two models agree, accumulated batch by batch."""

    def update(self, outputs: np.ndarray, others: np.ndarray) -> None:
        """Takes the outputs of both, float32 (n, ..., C)."""

    def result(self) -> float:
        """1 for full agreement."""


class Task(abc.ABC):
    """One kind of target. To add a task: a file with a subclass, and a row.

    Subclasses import NumPy alone at their top; Keras is imported where a
    loss or a metric is made.

    Attributes:
        score: Key of the score that models are chosen and compared by; more
            is better.
        title: The score in words.
        default_loss: Name of the distillation loss if none is given.
        default_temperature: Its temperature.
        output_name: What a file calls its output: "logits", or "values" for
            quantities.
        unit: What one entry of the last axis is: "class" or "value".
        counted: Title of a column of counts: "class", or "class, pixels";
            None where targets are not counted by class.
        target_columns: How a table holds a target: one column of "class"
            names, columns of "flags" (0 or 1), columns of "numbers"; None if
            a table cannot hold it.
        shown_order: Which examples `examples_to_show` chooses, in words.
    """

    score: ClassVar[str]
    title: ClassVar[str]
    default_loss: ClassVar[str]
    default_temperature: ClassVar[float]
    output_name: ClassVar[Literal["logits", "values"]] = "logits"
    unit: ClassVar[Literal["class", "value"]] = "class"
    counted: ClassVar[str | None] = "class"
    target_columns: ClassVar[Literal["class", "flags", "numbers"] | None] = None
    shown_order: ClassVar[str] = (
        "Test examples with the greatest loss of the file, worst first."
    )

    @abc.abstractmethod
    def target_shape(
        self, example_shape: Sequence[int], num_outputs: int
    ) -> tuple[int, ...]:
        """Shape of one target.

        Args:
            example_shape: Shape of one example.
            num_outputs: C.
        """

    def output_shape(
        self, example_shape: Sequence[int], num_outputs: int
    ) -> tuple[int, ...]:
        """Shape of the output for one example, (..., C)."""
        return (num_outputs,)

    @abc.abstractmethod
    def count(self, targets: np.ndarray, num_outputs: int) -> np.ndarray:
        """How often each class occurs, int (C,).

        Raises:
            ValueError: if targets (n, ...) are not valid for the task.
        """

    @abc.abstractmethod
    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (N, ..., C) to class numbers (N, ...), flags, or values."""

    @abc.abstractmethod
    def label_loss(self, *args: Any, **arguments: Any) -> "keras.losses.Loss":
        """The student's own loss, of targets and outputs.

        The keyword-only parameters of a subclass with defaults are what a
        user may set; `mixed` tells it that class targets may come as
        fractions (n, ..., C). Nothing is passed by position; to type checkers
        `*args` says that subclasses choose their own parameters.
        """

    @abc.abstractmethod
    def metrics(self, num_outputs: int) -> "list[keras.metrics.Metric]":
        """Metrics of an epoch; the first is the score, named `self.score`."""

    @abc.abstractmethod
    def new_score(self, num_outputs: int) -> Score:
        """An empty `Score`."""

    @abc.abstractmethod
    def new_agreement(self) -> Agreement:
        """An empty `Agreement`."""

    @abc.abstractmethod
    def describe_target(
        self, target: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """The target of one example, in words."""

    @abc.abstractmethod
    def describe_output(
        self, output: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """The output for one example (..., C), in words."""

    def outputs_to_keep(self, outputs: np.ndarray) -> np.ndarray:
        """What is stored of the outputs of examples that a report shows."""
        return outputs

    def examples_to_show(self, losses: np.ndarray, count: int) -> np.ndarray:
        """Numbers of examples worth looking at, int (count,) or fewer.

        Args:
            losses: Float (N,), the loss of every example.
            count: How many at most.
        """
        return np.argsort(-losses, kind="stable")[:count]

    def describe_difference(self, amount: float) -> str:
        """A difference of two scores, without its sign."""
        return f"{100 * abs(amount):.2f} points"
