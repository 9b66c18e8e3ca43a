"""Numbers that change while training goes on: temperatures, weights, rates.

A schedule is any function of the step, a scalar tensor that counts the
optimizer's updates, to a number; Keras's learning-rate schedules are such.
Those made here describe themselves.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from kd_tf.results import ScheduleRecord

Schedule = Callable[[Any], Any]
_POINTS = 101  # of a record


@dataclasses.dataclass(frozen=True)
class Ramp:
    """Goes from one value to another, and stays there.

    Attributes:
        start: Value at step 0.
        end: Value from step `num_steps` on.
        num_steps: Number of updates, greater than 0.
        shape: "linear", or "cosine" for half a cosine.

    Raises:
        ValueError: if `num_steps` is not greater than 0, or there is no such
            shape.
    """

    start: float
    end: float
    num_steps: float
    shape: str = "linear"

    def __post_init__(self) -> None:
        if not self.num_steps > 0:
            raise ValueError(
                "`num_steps` must be greater than 0. "
                f"Received: num_steps={self.num_steps}"
            )
        if self.shape not in ("linear", "cosine"):
            raise ValueError(
                "`shape` must be 'linear' or 'cosine'. "
                f"Received: shape={self.shape!r}"
            )

    def __call__(self, step: Any) -> Any:
        """The value at a step, a float32 scalar tensor."""
        from keras import ops

        done = ops.clip(ops.cast(step, "float32") / self.num_steps, 0, 1)
        if self.shape == "linear":
            return self.start + (self.end - self.start) * done
        left = 0.5 * (1 + ops.cos(math.pi * done))
        return self.end + (self.start - self.end) * left

    def __str__(self) -> str:
        return (
            f"{self.start:g} to {self.end:g} in {self.num_steps:g} steps, "
            f"{self.shape}"
        )


def linear(start: float, end: float, num_steps: float) -> Ramp:
    """Goes from `start` to `end` in a straight line; see `Ramp`."""
    return Ramp(start, end, num_steps, "linear")


def cosine(start: float, end: float, num_steps: float) -> Ramp:
    """Goes from `start` to `end` along half a cosine; see `Ramp`."""
    return Ramp(start, end, num_steps, "cosine")


def value_at(value: Any, step: Any) -> Any:
    """A number as it is, the value of a schedule at a step."""
    if callable(value):
        from keras import ops

        return ops.cast(value(ops.cast(step, "float32")), "float32")
    return value


def record_schedule(
    schedule: Schedule, *, num_steps: int, steps_per_epoch: int
) -> ScheduleRecord:
    """What a schedule says of itself over a training.

    Args:
        schedule: Function of the step.
        num_steps: Steps of the training.
        steps_per_epoch: Steps of one epoch.

    Returns:
        `ScheduleRecord` of about a hundred points.
    """
    steps = [num_steps * i / (_POINTS - 1) for i in range(_POINTS)]
    values = [float(value_at(schedule, step)) for step in steps]
    is_ramp = isinstance(schedule, Ramp)
    description = str(schedule) if is_ramp else type(schedule).__name__
    if not is_ramp:
        description += f", {values[0]:.4g} to {values[-1]:.4g}"
    epochs = [step / steps_per_epoch for step in steps]
    return ScheduleRecord(description, epochs, values)
