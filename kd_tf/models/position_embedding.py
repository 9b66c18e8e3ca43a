"""What tells a transformer where in the sequence a step stands."""

import keras
from keras import layers


# Registered under its first name, so that older files still load.
@keras.saving.register_keras_serializable(package="kd_tf", name="Positions")
class PositionEmbedding(layers.Layer):
    """Adds a learned vector to every step, its own for each place.

    Input and output: float (B, steps, features); steps and features fixed.

    Reference:
        Gehring et al., 2017, https://arxiv.org/abs/1705.03122, section 3.1.
    """

    def build(self, input_shape):
        self.table = self.add_weight(
            shape=input_shape[1:],
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="table",
        )

    def call(self, x):
        return x + self.table
