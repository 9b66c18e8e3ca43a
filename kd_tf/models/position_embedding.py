"""Learned position embedding for transformers."""

from typing import Any

import keras
from keras import layers

Tensor = Any  # float (B, steps, features)


# Registered under its first name, so that older files still load.
@keras.saving.register_keras_serializable(package="kd_tf", name="Positions")
class PositionEmbedding(layers.Layer):
    """Adds a learned vector to every step, a different one for each position.

    Input and output: float (B, steps, features); steps and features fixed.

    Reference:
        Gehring et al., 2017, https://arxiv.org/abs/1705.03122, section 3.1.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the table of vectors, (steps, features)."""
        self.table = self.add_weight(
            shape=input_shape[1:],
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="table",
        )

    def call(self, x: Tensor) -> Tensor:
        """Returns the input plus the table."""
        return x + self.table
