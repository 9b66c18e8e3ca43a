"""Residual network for small images."""

from collections.abc import Sequence
from typing import Annotated, Any

import keras
from keras import layers
from pydantic import Field

from kd_tf.models.blocks import MOMENTUM, conv_block
from kd_tf.ranges import Count

Tensor = Any  # a Keras tensor (B, height, width, channels)


def resnet(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    depth: Annotated[int, Field(ge=8)] = 20,
    width: Count = 16,
) -> keras.Model:
    """Builds three stages of residual blocks, each on half the resolution.

    A block is two 3x3 convolutions whose result is added to the block's
    input. Where that changes its shape it passes a 1x1 convolution, the
    paper's option B.

    At its defaults, for 32x32x3 and 10 classes: 274,042 parameters, 40.8
    million multiply-accumulates, 1103 kB, in int8 312 kB.

    Args:
        input_shape: (height, width, channels).
        num_outputs: Number of logits.
        depth: Number of layers with weights from input to logits, 6n + 2: 8,
            14, 20, ...
        width: Channels of the first stage; doubled in each of the others.

    Returns:
        `keras.Model` whose output is logits (B, num_outputs).

    Raises:
        ValueError: if examples are not images of at least 4x4 pixels, or
            there is no such depth.

    Reference:
        He et al., 2015, https://arxiv.org/abs/1512.03385, section 4.2.
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 4:
        raise ValueError(
            "a resnet needs images (height, width, channels) of at least 4x4 "
            f"pixels. Received: {input_shape}"
        )
    if depth < 8 or depth % 6 != 2:
        raise ValueError(
            f"`depth` must be 6n + 2: 8, 14, 20, ... Received: depth={depth}"
        )
    inputs = keras.Input(input_shape, name="image")
    x = conv_block(inputs, width, name="stem")
    for stage in (1, 2, 3):
        for block in range(1, (depth - 2) // 6 + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            filters = width * 2 ** (stage - 1)
            x = _block(x, filters, strides, f"stage_{stage}_{block}")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.Dense(num_outputs, name="logits")(x)
    return keras.Model(inputs, logits, name="resnet")


def _block(x: Tensor, filters: int, strides: int, name: str) -> Tensor:
    y = conv_block(x, filters, strides=strides, name=f"{name}_first")
    y = layers.Conv2D(
        filters, 3, padding="same", use_bias=False, name=f"{name}_second_conv"
    )(y)
    y = _norm(y, f"{name}_second_norm")
    if strides > 1:
        x = layers.Conv2D(
            filters,
            1,
            strides=strides,
            use_bias=False,
            name=f"{name}_shortcut_conv",
        )(x)
        x = _norm(x, f"{name}_shortcut_norm")
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.ReLU(name=f"{name}_relu")(x)


def _norm(x: Tensor, name: str) -> Tensor:
    return layers.BatchNormalization(momentum=MOMENTUM, name=name)(x)
