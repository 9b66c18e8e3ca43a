"""Numbers that depend on the step: temperatures and weights.

A schedule is any function of the step, a scalar tensor that counts the
optimizer's updates, to a number; Keras's learning-rate schedules are such.
"""

import math

from keras import ops


def linear(start, end, num_steps):
    """Goes from `start` to `end` in a straight line, and stays there.

    Args:
        start: Value at step 0.
        end: Value from step `num_steps` on.
        num_steps: Number of updates, greater than 0.

    Raises:
        ValueError: if `num_steps` is not greater than 0.
    """
    share = _share_done(num_steps)
    return lambda step: start + (end - start) * share(step)


def cosine(start, end, num_steps):
    """Goes from `start` to `end` along half a cosine, and stays there.

    Args:
        start: Value at step 0.
        end: Value from step `num_steps` on.
        num_steps: Number of updates, greater than 0.

    Raises:
        ValueError: if `num_steps` is not greater than 0.
    """
    share = _share_done(num_steps)
    return lambda step: (
        end + (start - end) * 0.5 * (1 + ops.cos(math.pi * share(step)))
    )


def value_at(value, step):
    """A number as it is, a schedule's value at a step."""
    if callable(value):
        return ops.cast(value(ops.cast(step, "float32")), "float32")
    return value


def _share_done(num_steps):
    if not num_steps > 0:
        raise ValueError(
            "`num_steps` must be greater than 0. "
            f"Received: num_steps={num_steps}"
        )
    return lambda step: ops.clip(ops.cast(step, "float32") / num_steps, 0, 1)
