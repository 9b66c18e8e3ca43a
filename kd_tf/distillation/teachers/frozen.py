"""Who teaches: a frozen model that answers logits.

Shapes: B examples, C classes.
"""

import tensorflow as tf

from kd_tf.distillation.taps import Forward, Tapped


class FrozenTeacher:
    """Answers in inference mode, and lets no gradient through.

    Not a Keras layer, on purpose: whoever holds it does not save it, does
    not train it and does not change its `trainable`.

    Args:
        model: `keras.Model`.
        paths: Layers whose activations are wanted, too.
        prepare: Function from the student's input to this model's, or None.
    """

    def __init__(self, model, paths=(), prepare=None):
        self.model = model
        self._tapped = Tapped(model, paths)
        self._prepare = prepare or (lambda x: x)

    def __call__(self, x):
        """Returns the `Forward` of a batch."""
        seen = self._tapped(self._prepare(x), training=False)
        return Forward(
            *tf.nest.map_structure(
                tf.stop_gradient, (seen.answers, seen.activations)
            )
        )
