"""Convolution, normalization and ReLU, named after the block they make.

Shapes: B examples, H height, W width, C channels.
"""

from keras import layers

# The default of 0.99 lags behind in short trainings.
MOMENTUM = 0.9


def conv_block(x, filters, *, name, size=3, strides=1):
    """Convolution without bias, batch normalization, ReLU.

    Args:
        x: Keras tensor (B, H, W, C).
        filters: Channels to make.
        name: What the names of the three layers begin with.
        size: Side of the kernel, or (height, width).
        strides: Step of the kernel, or (down, across).

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


def separable_block(x, filters, *, name, size=3, strides=1):
    """As `conv_block`, at a fraction of the cost.

    One filter a channel, then a 1x1 convolution that mixes channels, each
    with normalization and ReLU. Two layers and not `SeparableConv2D`, so that
    the 1x1 kernel, which has nearly all the weights, can be pruned. The last
    three layers are named as those of `conv_block`.

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


def _norm_relu(x, name):
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
