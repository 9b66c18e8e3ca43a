"""The cubic schedule by which sparsity rises, in updates of the masks."""

from typing import Any

import tensorflow as tf

from kd_tf.compression.tfmot import pruning_schedule

_MASK_UPDATES = 50


class CubicRamp:
    """Function from the step to the sparsity that TFMOT prunes to.

    Args:
        schedule: TFMOT's schedule, which returns whether a step is one of
            those that update the masks, and the sparsity.
    """

    def __init__(self, schedule: pruning_schedule.PolynomialDecay) -> None:
        self._schedule = schedule

    def __call__(self, step: Any) -> tf.Tensor:
        """The sparsity at a step, a float32 scalar tensor."""
        _, sparsity = self._schedule(step)
        return sparsity


def cubic_schedule(
    sparsity: float, ramp_steps: int
) -> pruning_schedule.PolynomialDecay:
    """TFMOT's schedule of at most some 50 updates, the last in the ramp.

    Args:
        sparsity: Final fraction of zeros, in [0, 1).
        ramp_steps: Steps until it is reached, at least 1.

    Reference:
        Zhu and Gupta, 2017, https://arxiv.org/abs/1710.01878, section 3.
    """
    # The last update must fall on the last step of the ramp, or the final
    # sparsity would never be reached.
    frequency = max(1, ramp_steps // _MASK_UPDATES)
    last = ramp_steps // frequency * frequency
    return pruning_schedule.PolynomialDecay(
        0.0, sparsity, begin_step=0, end_step=last, frequency=frequency
    )
