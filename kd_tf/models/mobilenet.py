"""Depthwise-separable convolutional network for small images."""

from collections.abc import Sequence
from typing import Annotated, Literal

import keras
from keras import layers
from pydantic import Field

from kd_tf.models.blocks import conv_block, separable_block
from kd_tf.ranges import Count, Share


def mobilenet(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    filters: Annotated[Sequence[Count], Field(min_length=2)] = (
        16,
        32,
        64,
        64,
        128,
        128,
    ),
    stem_stride: Literal[1, 2] = 1,
    dropout: Share = 0.0,
) -> keras.Model:
    """Builds a 3x3 convolution, then depthwise-separable blocks.

    A block with more channels than the block before it halves height and
    width; the first block never does.

    At its defaults, for 32x32x3 and 10 classes: 38,634 parameters, 4.6 million
    multiply-accumulates, 155 kB, in int8 67 kB.

    Args:
        input_shape: (height, width, channels).
        num_outputs: Number of logits.
        filters: Channels of the first convolution, then of each block, at
            least two numbers.
        stem_stride: Stride of the first convolution: 1 for small images, 2 as
            in the paper for large ones.
        dropout: Fraction of features dropped before the logits while
            training, in [0, 1).

    Returns:
        `keras.Model` whose output is logits (B, num_outputs).

    Raises:
        ValueError: if examples are not images, or there is no block.

    Reference:
        Howard et al., 2017, https://arxiv.org/abs/1704.04861, section 3.2.
    """
    if len(input_shape) != 3:
        raise ValueError(
            "a mobilenet needs images (height, width, channels). "
            f"Received: {input_shape}"
        )
    if len(filters) < 2:
        raise ValueError(
            "`filters` must hold the channels of the first convolution and of "
            f"at least one block. Received: filters={filters}"
        )
    inputs = keras.Input(input_shape, name="image")
    x = conv_block(inputs, filters[0], strides=stem_stride, name="stem")
    channels_before = filters[1]
    for i, channels in enumerate(filters[1:], start=1):
        strides = 2 if channels > channels_before else 1
        x = separable_block(x, channels, strides=strides, name=f"block_{i}")
        channels_before = channels
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_outputs, name="logits")(x)
    return keras.Model(inputs, logits, name="mobilenet")
