"""Blocks of convolution, normalization and ReLU, named by their caller.

Shapes: B examples, H height, W width, C channels.
"""

from typing import Any

from keras import layers

# The default of 0.99 lags behind in short trainings.
MOMENTUM = 0.9

Tensor = Any  # a Keras tensor


def conv_block(
    x: Tensor,
    filters: int,
    *,
    name: str,
    size: int | tuple[int, int] = 3,
    strides: int | tuple[int, int] = 1,
) -> Tensor:
    """Applies convolution without bias, batch normalization and ReLU.

    Args:
        x: Keras tensor (B, H, W, C).
        filters: Number of output channels.
        name: Prefix of the names of the three layers.
        size: Side of the kernel, or (height, width).
        strides: Stride of the kernel, or (vertical, horizontal).

    Returns:
        Keras tensor (B, H / strides, W / strides, filters).
    """
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    return _norm_relu(x, name)


def separable_block(
    x: Tensor,
    filters: int,
    *,
    name: str,
    size: int | tuple[int, int] = 3,
    strides: int | tuple[int, int] = 1,
) -> Tensor:
    """Applies a depthwise-separable convolution, a cheaper `conv_block`.

    One filter for each channel, then a 1x1 convolution that mixes channels,
    each with normalization and ReLU. Two layers and not `SeparableConv2D`, so
    that the 1x1 kernel, which has nearly all the weights, can be pruned. The
    last three layers are named as those of `conv_block`.

    Args:
        x: Keras tensor (B, H, W, C).
        filters: Number of output channels.
        name: Prefix of the names of the six layers.
        size: Side of the depthwise kernel, or (height, width).
        strides: Stride of the depthwise kernel, or (vertical, horizontal).

    Returns:
        Keras tensor (B, H / strides, W / strides, filters).

    Reference:
        Howard et al., 2017, https://arxiv.org/abs/1704.04861, section 3.1.
    """
    x = layers.DepthwiseConv2D(
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        name=f"{name}_depthwise",
    )(x)
    x = _norm_relu(x, f"{name}_depthwise")
    return conv_block(x, filters, size=1, name=name)


def _norm_relu(x: Tensor, name: str) -> Tensor:
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
