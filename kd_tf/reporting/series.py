"""One of several models in a picture."""

import dataclasses

import numpy as np

from kd_tf.reporting.looks import Look


@dataclasses.dataclass(frozen=True)
class Series:
    """What a picture draws of one model.

    Attributes:
        title: What the legend calls it.
        look: Its color, line and marker.
        arrays: {name: array}, as the task's `Score.arrays` returns them.
    """

    title: str
    look: Look
    arrays: dict[str, np.ndarray]
