"""A teacher in inference mode, whose weights stay as they are."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kd_tf.distillation.taps import Forward, Tapped


class FrozenTeacher:
    """Runs a model in inference mode, and lets no gradient through.

    Not a Keras layer, on purpose: whoever holds it does not save it, does
    not train it and does not change its `trainable`.

    Args:
        model: `keras.Model`.
        paths: Layers whose activations are needed, too.
        prepare: Function from the student's input to this model's, or None.
    """

    def __init__(
        self,
        model: keras.Model,
        paths: Sequence[str] = (),
        *,
        prepare: Callable[[Any], Any] | None = None,
    ) -> None:
        self.model = model
        self._tapped = Tapped(model, paths)
        self._prepare = prepare or (lambda x: x)

    def __call__(self, x: Any) -> Forward:
        """Returns the `Forward` of a batch."""
        forward = self._tapped(self._prepare(x), training=False)
        return Forward(
            *tf.nest.map_structure(
                tf.stop_gradient, (forward.outputs, forward.activations)
            )
        )
