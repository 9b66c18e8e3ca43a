"""U-Net: an encoder and a decoder with skip connections, for segmentation."""

import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
from keras import layers

from kd_tf.models.blocks import conv_block, separable_block
from kd_tf.ranges import Count, Share, WholeNumber

Tensor = Any  # a Keras tensor (B, height, width, channels)


def unet(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    width: Count = 16,
    depth: WholeNumber = 4,
    upsampling: Literal["transposed", "nearest", "bilinear"] = "bilinear",
    dropout: Share = 0.0,
    separable: bool = False,
) -> keras.Model:
    """Builds a model with logits for every pixel.

    Every level is two 3x3 convolutions with batch normalization and ReLU.
    Going down, the map is halved and its channels doubled; going up the
    reverse, joined by the map of the same size on the way down. Unlike in
    the paper the convolutions are padded, so the output is as large as the
    image.

    At its defaults, for 128x128x3 and 10 classes: 1,815,114 parameters, 735.3
    million multiply-accumulates, 7260 kB, in int8 1878 kB.

    Args:
        input_shape: (height, width, channels).
        num_outputs: Number of logits for each pixel.
        width: Channels of the first level.
        depth: Number of poolings; 0 leaves one level.
        upsampling: `transposed`, a 2x2 transposed convolution with weights,
            or `nearest` or `bilinear`, with a 1x1 convolution before: there
            it costs a quarter of what it would after, and the output is the
            same. Int8 files compute `nearest` in float.
        dropout: Fraction of the lowest level's features dropped while
            training, in [0, 1).
        separable: Whether the 3x3 convolutions are depthwise-separable, for
            students with an eighth of the weights.

    Returns:
        `keras.Model` whose output is logits (B, height, width, num_outputs).

    Raises:
        ValueError: if examples are not images, height and width cannot be
            halved `depth` times, or there is no such upsampling.

    Reference:
        Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597, section 2.
    """
    _check(input_shape, depth, upsampling)
    block = separable_block if separable else conv_block
    inputs = keras.Input(input_shape, name="image")
    x, skipped = inputs, []
    for i in range(1, depth + 1):
        x = _level(x, block, width * 2 ** (i - 1), f"down_{i}")
        skipped.append(x)
        x = layers.MaxPooling2D(2, name=f"pool_{i}")(x)
    x = _level(x, block, width * 2**depth, "bottom")
    x = layers.Dropout(dropout, name="dropout")(x)
    for i in range(depth, 0, -1):
        filters = width * 2 ** (i - 1)
        x = _enlarge(x, filters, upsampling, f"up_{i}")
        x = layers.Concatenate(name=f"up_{i}_join")([skipped[i - 1], x])
        x = _level(x, block, filters, f"up_{i}")
    logits = layers.Conv2D(num_outputs, 1, name="logits")(x)
    return keras.Model(inputs, logits, name="unet")


def _level(
    x: Tensor, block: Callable[..., Tensor], filters: int, name: str
) -> Tensor:
    x = block(x, filters, name=f"{name}_first")
    return block(x, filters, name=f"{name}_second")


def _enlarge(x: Tensor, filters: int, upsampling: str, name: str) -> Tensor:
    if upsampling == "transposed":
        return layers.Conv2DTranspose(
            filters, 2, strides=2, name=f"{name}_enlarge"
        )(x)
    x = layers.Conv2D(filters, 1, name=f"{name}_narrow")(x)
    return layers.UpSampling2D(
        2, interpolation=upsampling, name=f"{name}_enlarge"
    )(x)


def _check(input_shape: Sequence[int], depth: int, upsampling: str) -> None:
    divisor = 2**depth
    if len(input_shape) != 3 or any(n % divisor for n in input_shape[:2]):
        raise ValueError(
            f"a unet of depth {depth} needs images (height, width, channels) "
            f"whose height and width divide by {divisor}. Received: "
            f"{input_shape}"
        )
    # The signature is the one place where the names stand.
    allowed = typing.get_args(unet.__annotations__["upsampling"])
    if upsampling not in allowed:
        raise ValueError(
            f"`upsampling` must be one of {', '.join(allowed)}. "
            f"Received: upsampling='{upsampling}'"
        )
