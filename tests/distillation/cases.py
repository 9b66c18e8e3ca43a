"""Small models, and what several tests ask of them."""

import functools

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kd_tf import Distiller
from kd_tf.distillation.taps import Tapped

PAIRS = [("conv_1", "conv_1"), ("conv_2", "conv_2")]


def images(count=2, size=6):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, size, size, 3)).astype("f")


def functional(name="stage3", inner=None):
    """A trunk of convolutions; `inner` stands between them, if there is."""
    inputs = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(3, 3, padding="same", name="conv1")(inputs)
    if inner is not None:
        x = inner(x)
    x = layers.ReLU(name="relu")(x)
    outputs = layers.Conv2D(3, 3, padding="same", name="conv2")(x)
    return keras.Model(inputs, outputs, name=name)


def sequential(*middle, name="plain"):
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(3, 3, padding="same", name="conv0"),
            *middle,
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(2, name="logits"),
        ],
        name=name,
    )


class Failing(layers.Layer):
    """Fails when `fails` is set, as a layer out of memory would."""

    def __init__(self):
        super().__init__()
        self.fails = False

    def call(self, x):
        if self.fails:
            raise RuntimeError("out of memory")
        return x


class Counting(layers.Layer):
    """Counts how often a batch really passes, in graph mode too."""

    def __init__(self):
        super().__init__()
        self.passes = tf.Variable(0)

    def call(self, x):
        self.passes.assign_add(1)
        return tf.identity(x)


def seen(model, path, x, training=False):
    return Tapped(model, [path])(x, training=training).activations[path]


def same(forward, expected):
    np.testing.assert_allclose(forward, expected, rtol=1e-5, atol=1e-6)


@functools.cache
def models():
    return tiny(4), tiny(6)


def tiny(width):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(width, 3, padding="same", name="conv_1"),
            layers.ReLU(name="relu_1"),
            layers.AveragePooling2D(2, name="pool"),
            layers.Conv2D(width, 3, padding="same", name="conv_2"),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(3, name="logits"),
        ]
    )


def data(count=6):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 8, 8, 1)).astype("f")
    return x, np.arange(count) % 3


def distil(loss_term, x, y, student=None):
    """The loss that a Distiller computes."""
    student = student or models()[0]
    distiller = Distiller(student, models()[1], loss_term, student_weight=0)
    distiller.compile("sgd", run_eagerly=True)
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    return logs[distiller.bound_losses[0].name]
