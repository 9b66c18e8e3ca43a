"""Regression: quantities for each example.

Shapes: N examples, n of them in a batch, C values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kd_tf.results import ScoreRecord
from kd_tf.tasks.ratios import mean_of_defined, ratios, score_record
from kd_tf.tasks.task import Task

if TYPE_CHECKING:
    import keras

_MOST_VALUES = 4


class Regression(Task):
    """One or more quantities for each example.

    Targets and outputs are values (n, C).
    """

    score = "r2"
    title = "R²"
    default_loss = "value_matching"
    default_temperature = 1.0
    output_name = "values"
    unit = "value"
    counted = None
    target_columns = "numbers"

    def target_shape(
        self, example_shape: Sequence[int], num_outputs: int
    ) -> tuple[int, ...]:
        """A target has C values."""
        return (num_outputs,)

    def count(self, targets: np.ndarray, num_outputs: int) -> np.ndarray:
        """Counts the examples, which have every value."""
        if not np.isfinite(targets).all():
            raise ValueError(
                "Targets must be finite numbers. Received: NaN or infinity"
            )
        return np.full(num_outputs, len(targets))

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Returns the values as they are."""
        return outputs

    def label_loss(self, *, mixed: bool = False) -> keras.losses.Loss:
        """Makes a mean squared error.

        Args:
            mixed: Without effect; values of mixed examples are values.
        """
        import keras

        return keras.losses.MeanSquaredError()

    def metrics(self, num_outputs: int) -> list[keras.metrics.Metric]:
        """Makes R² and the mean absolute error."""
        import keras

        return [
            keras.metrics.R2Score(name=self.score),
            keras.metrics.MeanAbsoluteError(name="mae"),
        ]

    def new_score(self, num_outputs: int) -> RegressionScore:
        """Makes an empty `RegressionScore`."""
        return RegressionScore()

    def new_agreement(self) -> RegressionAgreement:
        """Makes an empty `RegressionAgreement`."""
        return RegressionAgreement()

    def describe_target(
        self, target: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """Lists the first values."""
        return _list_values(target)

    def describe_output(
        self, output: np.ndarray, class_names: Sequence[str]
    ) -> str:
        """Lists the first values."""
        return _list_values(output)

    def describe_difference(self, amount: float) -> str:
        """A difference of R², which is not a share, as it is."""
        return f"{abs(amount):.4f}"


class RegressionScore:
    """R² and mean absolute error; keeps all outputs."""

    def __init__(self) -> None:
        """Starts with nothing counted."""
        self._outputs: list[np.ndarray] = []
        self._targets: list[np.ndarray] = []

    def update(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Takes values (n, C) of both; see `Score`."""
        self._outputs.append(np.asarray(outputs, float))
        self._targets.append(np.asarray(targets, float))
        difference = self._outputs[-1] - self._targets[-1]
        return np.square(difference).mean(axis=-1)

    def result(self) -> ScoreRecord:
        """The scores so far."""
        outputs, targets = map(np.concatenate, (self._outputs, self._targets))
        errors = np.abs(outputs - targets)
        scores = {
            "r2": r2_score(outputs, targets),
            "mae": float(errors.mean()),
        }
        return score_record(
            scores, {"mean absolute error": errors.mean(axis=0)}
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """All `outputs` and `targets`, float (N, C)."""
        return {
            "outputs": np.concatenate(self._outputs),
            "targets": np.concatenate(self._targets),
        }


class RegressionAgreement:
    """R² of one model's values, with another's as the targets."""

    def __init__(self) -> None:
        """Starts with nothing counted."""
        self._score = RegressionScore()

    def update(self, outputs: np.ndarray, others: np.ndarray) -> None:
        """Takes the values of both, float32 (n, C)."""
        self._score.update(outputs, others)

    def result(self) -> float:
        """R² so far; NaN where the other model's values never change."""
        arrays = self._score.arrays()
        return r2_score(arrays["outputs"], arrays["targets"])


def r2_score(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Computes R², averaged over the values as Keras and scikit-learn do.

    Args:
        outputs: Float (N, C).
        targets: Float (N, C).

    Returns:
        At most 1; values whose targets never change are left out, and NaN is
        returned if there is no other.
    """
    error = np.square(outputs - targets).sum(axis=0)
    spread = np.square(targets - targets.mean(axis=0)).sum(axis=0)
    return mean_of_defined(1 - ratios(error, spread))


def _list_values(values: np.ndarray) -> str:
    first = np.ravel(values)[:_MOST_VALUES]
    return ", ".join(f"{value:.4g}" for value in first)
