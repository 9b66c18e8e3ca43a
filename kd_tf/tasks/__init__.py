"""Kinds of targets: one file a task, one row each.

To add a task: write a file with a subclass of `kd_tf.tasks.task.Task`, and
add its row to `TASKS`. Nothing else depends on how many tasks there are.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from kd_tf.specs import Argument, Spec, Table, read_arguments
from kd_tf.tasks.task import IGNORED, Task

if TYPE_CHECKING:
    import keras

__all__ = [
    "IGNORED",
    "TASKS",
    "Task",
    "TaskSpec",
    "get_task",
    "label_loss",
    "score_metrics",
]


@dataclasses.dataclass(frozen=True)
class TaskSpec(Spec):
    """One task: `function` names a subclass of `Task`."""

    @property
    def label_arguments(self) -> dict[str, Argument]:
        """{name: argument} of the task's own loss that a user may set."""
        arguments = read_arguments(f"{self.function}.label_loss")
        return {n: a for n, a in arguments.items() if n != "mixed"}


TASKS = Table(
    "task",
    {
        "classification": TaskSpec("kd_tf.tasks.classification:Classification"),
        "multilabel": TaskSpec("kd_tf.tasks.multilabel:Multilabel"),
        "segmentation": TaskSpec("kd_tf.tasks.segmentation:Segmentation"),
        "regression": TaskSpec("kd_tf.tasks.regression:Regression"),
    },
)


def get_task(name: str) -> Task:
    """Returns the task of a name; the same object every time.

    Args:
        name: Name of `TASKS`.

    Raises:
        ValueError: if there is no such task.
    """
    return _make_task(TASKS.find(name))


def label_loss(task: str, **arguments: Any) -> "keras.losses.Loss":
    """Makes the loss between a student's outputs and the labels.

    Args:
        task: Name of `TASKS`.
        **arguments: Those of the task's `label_loss`: `smoothing`,
            `dice_weight`, `mixed`.

    Returns:
        `keras.losses.Loss` of targets and outputs.
    """
    return get_task(task).label_loss(**arguments)


def score_metrics(task: str, num_classes: int) -> "list[keras.metrics.Metric]":
    """Makes the metrics of an epoch; the first is the task's score.

    Args:
        task: Name of `TASKS`.
        num_classes: Number of classes or values.
    """
    return get_task(task).metrics(num_classes)


@functools.cache
def _make_task(spec: TaskSpec) -> Task:
    task: Task = spec.load()()
    return task
