"""One function of every kind, as somebody else would write it."""

import keras
import numpy as np
from keras import ops

from kd_tf.data.sources.source import ArraySpec, Examples, Source, numbered
from kd_tf.ranges import Count, NonNegative, Positive
from kd_tf.results import CompressionRecord


def absolute_loss(student, teacher, *, scale: NonNegative = 1.0):
    """Computes the mean absolute difference.

    Args:
        student: Float tensor (B, C).
        teacher: Float tensor (B, C).
        scale: Multiplies it.
    """
    return scale * ops.mean(ops.abs(student - teacher), axis=-1)


def line(input_shape, num_outputs, *, units: Count = 3):
    """A dense layer before the outputs.

    Args:
        input_shape: Shape of an example.
        num_outputs: Number of values.
        units: Its units.
    """
    inputs = keras.Input(input_shape, name="features")
    x = keras.layers.Dense(units, activation="relu", name="hidden")(inputs)
    outputs = keras.layers.Dense(num_outputs, name="values")(x)
    return keras.Model(inputs, outputs, name="line")


def compass_source(*, count: Count):
    """Makes angles, and the directions they stand for.

    Args:
        count: Number of examples.
    """
    angles = np.random.default_rng(0).uniform(-3, 3, count)
    x = np.stack([angles, angles**2], axis=1).astype("float32")
    y = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")
    return Source(
        class_names=["east", "north"],
        example=ArraySpec((2,), "float32"),
        target=ArraySpec((2,), "float32"),
        task="direction",
        train=Examples(count, lambda: numbered([(x, y)])),
        test=None,
    )


def shrink(model, recover, *, factor: Positive = 0.9):
    """Multiplies all kernels, then recovers.

    Args:
        model: `keras.Model`.
        recover: `Recovery`.
        factor: By how much.
    """
    for layer in model.layers:
        if layer.weights:
            layer.kernel.assign(layer.kernel * factor)
    recover(model)
    return model, CompressionRecord([], 0.0)
