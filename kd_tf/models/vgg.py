"""Plain deep convolutional network."""

from collections.abc import Sequence
from typing import Annotated

import keras
from keras import layers
from pydantic import Field

from kd_tf.models.blocks import conv_block
from kd_tf.ranges import Count, Share


def vgg(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    filters: Annotated[Sequence[Count], Field(min_length=1)] = (32, 64, 128),
    repeats: Count = 2,
    dropout: Share = 0.0,
) -> keras.Model:
    """Builds stages of repeated 3x3 convolutions, normalization and ReLU.

    The map is halved by pooling between stages, and averaged over its pixels
    after the last, where the paper has dense layers: they would hold most of
    the weights.

    At its defaults, for 32x32x3 and 10 classes: 289,642 parameters, 38.6
    million multiply-accumulates, 1159 kB, in int8 307 kB.

    Args:
        input_shape: (height, width, channels).
        num_outputs: Number of logits.
        filters: Channels of each stage, in order.
        repeats: Convolutions of each stage.
        dropout: Fraction of features dropped before the logits while
            training, in [0, 1).

    Returns:
        `keras.Model` whose output is logits (B, num_outputs).

    Raises:
        ValueError: if examples are not images, or too small for the stages.

    Reference:
        Simonyan and Zisserman, 2014, https://arxiv.org/abs/1409.1556,
        section 2.
    """
    smallest = 2 ** (len(filters) - 1)
    if len(input_shape) != 3 or min(input_shape[:2]) < smallest:
        raise ValueError(
            f"a vgg of {len(filters)} stages needs images (height, width, "
            f"channels) of at least {smallest}x{smallest} pixels. Received: "
            f"{input_shape}"
        )
    inputs = keras.Input(input_shape, name="image")
    x = inputs
    for i, channels in enumerate(filters, start=1):
        if i > 1:
            x = layers.MaxPooling2D(2, name=f"pool_{i - 1}")(x)
        for j in range(1, repeats + 1):
            x = conv_block(x, channels, name=f"stage_{i}_{j}")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_outputs, name="logits")(x)
    return keras.Model(inputs, logits, name="vgg")
