"""U-Net: an encoder and a decoder with bridges between, for segmentation."""

import keras
from keras import layers

from kd_tf.models.blocks import conv_block, separable_block

UPSAMPLINGS = ("transposed", "nearest", "bilinear")


def unet(
    input_shape,
    num_classes,
    *,
    width,
    depth,
    upsampling,
    dropout,
    separable,
):
    """Answers one row of logits a pixel.

    Every level is two 3x3 convolutions with batch normalization and ReLU.
    Going down, the map is halved and its channels doubled; going up the
    reverse, joined by the map of the same size on the way down. Unlike in
    the paper the convolutions are padded, so the answer is as large as the
    image.

    At its defaults, for 128x128x3 and 10 classes: 1,815,114 parameters, 735.3
    million multiply-accumulates, 7260 kB, in int8 1878 kB.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of logits a pixel.
        width: Channels of the first level.
        depth: Number of poolings; 0 leaves one level.
        upsampling: `transposed`, a 2x2 transposed convolution that learns how
            to enlarge, or `nearest` or `bilinear`, which a 1x1 convolution
            prepares: before enlarging it costs a quarter of what it would
            after, and the answer is the same. Int8 files enlarge `nearest`
            in float.
        dropout: Share of the lowest level's features silenced while
            training, in [0, 1).
        separable: Whether the 3x3 convolutions are depthwise-separable, for
            students with an eighth of the weights.

    Returns:
        `keras.Model` answering logits (B, height, width, num_classes).

    Raises:
        ValueError: if an example is no image, its sides cannot be halved so
            often, or there is no such upsampling.

    Reference:
        Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597, section 2.
    """
    _check(input_shape, depth, upsampling)
    block = separable_block if separable else conv_block
    inputs = keras.Input(input_shape, name="image")
    x, bridges = inputs, []
    for i in range(1, depth + 1):
        x = _level(x, block, width * 2 ** (i - 1), f"down_{i}")
        bridges.append(x)
        x = layers.MaxPooling2D(2, name=f"pool_{i}")(x)
    x = _level(x, block, width * 2**depth, "bottom")
    x = layers.Dropout(dropout, name="dropout")(x)
    for i in range(depth, 0, -1):
        filters = width * 2 ** (i - 1)
        x = _enlarge(x, filters, upsampling, f"up_{i}")
        x = layers.Concatenate(name=f"up_{i}_join")([bridges[i - 1], x])
        x = _level(x, block, filters, f"up_{i}")
    logits = layers.Conv2D(num_classes, 1, name="logits")(x)
    return keras.Model(inputs, logits, name="unet")


def _level(x, block, filters, name):
    x = block(x, filters, name=f"{name}_first")
    return block(x, filters, name=f"{name}_second")


def _enlarge(x, filters, upsampling, name):
    if upsampling == "transposed":
        return layers.Conv2DTranspose(
            filters, 2, strides=2, name=f"{name}_enlarge"
        )(x)
    x = layers.Conv2D(filters, 1, name=f"{name}_narrow")(x)
    return layers.UpSampling2D(
        2, interpolation=upsampling, name=f"{name}_enlarge"
    )(x)


def _check(input_shape, depth, upsampling):
    divisor = 2**depth
    if len(input_shape) != 3 or any(n % divisor for n in input_shape[:2]):
        raise ValueError(
            f"a unet of depth {depth} halves an image {depth} times. Allowed: "
            f"(height, width, channels) whose sides divide by {divisor}. "
            f"Received: {input_shape}"
        )
    if upsampling not in UPSAMPLINGS:
        raise ValueError(
            f"`upsampling` must be one of {', '.join(UPSAMPLINGS)}. "
            f"Received: upsampling='{upsampling}'"
        )
