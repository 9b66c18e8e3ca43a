"""Small models, data and Distillers of many tests.

Shapes: B examples, T steps, H rows, W columns, C classes.
"""

import contextlib

import keras
import numpy as np
from keras import ops

from kd_tf import Distiller, LossTerm, soft_target_loss

LABEL_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

HINT = LossTerm("hint", pairs=[("hidden", "hidden")])


def kernel(seed):
    return keras.initializers.RandomNormal(stddev=0.5, seed=seed)


def mlp(seed, *, width=5, dropout=0.0, inputs=4):
    """3 classes; the same seed gives the same weights and the same dropout."""
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(
                width, kernel_initializer=kernel(10 * seed), name="hidden"
            ),
            keras.layers.Dropout(dropout, seed=seed),
            keras.layers.Dense(3, kernel_initializer=kernel(10 * seed + 1)),
        ]
    )


def conv(seed, width, strides=1, size=8):
    """An output for each image, 3 classes."""
    return keras.Sequential(
        [
            keras.Input((size, size, 1)),
            keras.layers.Conv2D(
                width,
                3,
                strides,
                padding="same",
                kernel_initializer=kernel(10 * seed),
                name="hidden",
            ),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, kernel_initializer=kernel(10 * seed + 1)),
        ]
    )


def data(count=6, shape=(4,)):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, *shape)).astype("f")
    return x, np.arange(count) % 3


def distil(losses="soft_targets", *, models=None, weight=0.3, **options):
    """A compiled Distiller; the same arguments give the same one."""
    keras.utils.set_random_seed(0)  # adapters draw from the global one
    student, teacher = models or (mlp(1), mlp(2, width=7))
    distiller = Distiller(student, teacher, losses, student_weight=weight)
    given = {"optimizer": keras.optimizers.SGD(0.1), "loss": LABEL_LOSS}
    distiller.compile(**{**given, **options})
    return distiller


def evaluated(distiller, *arguments, **options):
    return distiller.evaluate(
        *arguments, **options, verbose=0, return_dict=True
    )


def fitted(distiller, count=6, epochs=2, **options):
    """The history of batches of 3, in order."""
    x, y = data(count)
    return distiller.fit(
        *(x, y),
        **{"batch_size": 3, **options},
        epochs=epochs,
        shuffle=False,
        verbose=0,
    ).history


def values(variables):
    return [variable.numpy() for variable in variables]


def assert_close(variables, others, **tolerance):
    for one, other in zip(values(variables), values(others), strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


def soft(student, teacher, temperature=4.0):
    """The mean of `soft_target_loss`, which has tests of its own."""
    return np.mean(soft_target_loss(student, teacher, temperature=temperature))


@contextlib.contextmanager
def policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def two_outputs(seed, nest):
    x = keras.Input((4,))
    outputs = [
        keras.layers.Dense(3, kernel_initializer=kernel(seed + i), name=name)(x)
        for i, name in enumerate("ab")
    ]
    return keras.Model(x, nest(outputs))


def as_dict(outputs):
    return dict(zip("ab", outputs, strict=True))


class Shrinking(Distiller):
    """Minimizes the logits, too."""

    def compute_losses(self, x, y, student, teacher, sample_weight):
        losses = super().compute_losses(x, y, student, teacher, sample_weight)
        size = ops.mean(ops.square(student.outputs), axis=-1)
        return {**losses, "size": size}
