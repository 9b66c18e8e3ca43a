"""Pictures of predicted quantities against true ones.

Shapes: N examples, V values.
"""

from collections.abc import Sequence

import numpy as np

from kd_tf.reporting.pictures import Picture, canvas, picture, styled
from kd_tf.reporting.series import Series

_MOST_VALUES = 12
_POINTS = 3000  # of one model; more would hide each other


def value_pictures(
    series: Sequence[Series], names: Sequence[str]
) -> list[Picture]:
    """Draws predictions against the truth, a picture for each value.

    Args:
        series: Models with arrays `outputs` and `targets` (N, V).
        names: V names.

    Returns:
        List of `Picture`, for the first twelve values.
    """
    return [
        _value(series, column, name)
        for column, name in enumerate(names[:_MOST_VALUES])
    ]


@styled
def _value(series: Sequence[Series], column: int, name: str) -> Picture:
    figure, axis = canvas(height=3.6)
    errors = []
    for one in series:
        truth = one.arrays["targets"][:, column]
        predicted = one.arrays["outputs"][:, column]
        error = np.abs(truth - predicted).mean()
        every = slice(None, None, -(-len(truth) // _POINTS))
        axis.scatter(
            truth[every],
            predicted[every],
            9,
            one.look.color,
            alpha=0.5,
            label=f"{one.title}, off by {error:.4g}",
        )
        errors.append(f"{one.title} {error:.4g}")
    axis.axline((truth[0], truth[0]), slope=1, color="0.6", linewidth=1)
    axis.set(xlabel="truth", ylabel="predicted", title=name)
    axis.legend()
    joined = "; ".join(errors)
    alt = f"Predictions against truth, {name}; mean error: {joined}."
    return picture(figure, f"values_{column}", alt)
