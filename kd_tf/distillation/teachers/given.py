"""Outputs of a teacher that come with the data, in place of the teacher.

Inputs are then a dict {"inputs": of the student, "teacher_outputs": nested as
the student's outputs}.
"""

from typing import Any

from kd_tf.distillation.taps import Forward, Tapped
from kd_tf.distillation.teachers.frozen import without_gradient

_KEYS = {"inputs", "teacher_outputs"}


class GivenOutputs:
    """Stands for a teacher whose outputs are in the data.

    Attributes:
        model: None.
    """

    model = None

    def __call__(self, x: Any) -> Forward:
        """Returns the `Forward` of a batch, without activations.

        Args:
            x: {"inputs": ..., "teacher_outputs": ...}, tensors.

        Raises:
            ValueError: if it is something else.
        """
        if not _is_with_outputs(x):
            keys = sorted(x) if isinstance(x, dict) else type(x).__name__
            raise ValueError(
                "Without a teacher its outputs come with the data. Give x as "
                '{"inputs": ..., "teacher_outputs": ...}. '
                f"Received: {keys}"
            )
        return without_gradient(
            Forward(x["teacher_outputs"], {}), training=False
        )


class TappedInputs:
    """Runs a tapped student on the inputs among such data.

    Args:
        tapped: `Tapped` student.
    """

    def __init__(self, tapped: Tapped) -> None:
        self._tapped = tapped

    def __call__(self, x: Any, *, training: bool) -> Forward:
        """Returns the `Forward` of a batch."""
        return self._tapped(only_inputs(x), training=training)


def only_inputs(x: Any) -> Any:
    """The student's inputs, without a teacher's outputs beside them."""
    return x["inputs"] if _is_with_outputs(x) else x


def _is_with_outputs(x: Any) -> bool:
    return isinstance(x, dict) and set(x) == _KEYS
