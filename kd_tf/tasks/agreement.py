"""Agreement of two models in what they decide."""

from collections.abc import Callable

import numpy as np

from kd_tf.tasks.ratios import ratio


class DecisionAgreement:
    """Share of equal decisions of two models, accumulated batch by batch.

    Args:
        decide: Function from outputs (n, ..., C) to decisions.
    """

    def __init__(self, decide: Callable[[np.ndarray], np.ndarray]) -> None:
        """Starts with nothing counted."""
        self._decide = decide
        self._num_equal = self._num_all = 0

    def update(self, outputs: np.ndarray, others: np.ndarray) -> None:
        """Takes the outputs of both, float32 (n, ..., C)."""
        is_equal = self._decide(outputs) == self._decide(others)
        self._num_equal += int(is_equal.sum())
        self._num_all += is_equal.size

    def result(self) -> float:
        """The share so far; NaN before the first decision."""
        return ratio(self._num_equal, self._num_all)
