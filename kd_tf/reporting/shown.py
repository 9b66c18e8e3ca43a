"""The test examples that a report shows.

Shapes: N examples, H and W of an image.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Shown:
    """A few examples with their targets and several models' outputs.

    Attributes:
        x: Raw examples (N, ...).
        targets: Targets (N, ...); where they have a grid, (N, H, W).
        numbers: Their numbers in the test split (N,).
        outputs: {title of a model: what `Task.outputs_to_keep` kept (N, ...)},
            the file of interest last; on a grid class numbers (N, H, W).
    """

    x: np.ndarray
    targets: np.ndarray
    numbers: np.ndarray
    outputs: dict[str, np.ndarray]


def example_name(n: int) -> str:
    """Name of the picture of the n-th example, from 0."""
    return f"example_{n + 1:02}"
