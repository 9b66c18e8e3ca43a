"""Plain deep convolutional network."""

import keras
from keras import layers

from kd_tf.models.blocks import conv_block


def vgg(input_shape, num_classes, *, filters, repeats, dropout):
    """Stages of repeated 3x3 convolutions, each with normalization and ReLU.

    The map is halved by pooling between stages, and averaged over its pixels
    after the last, where the paper has dense layers: they would hold most of
    the weights.

    At its defaults, for 32x32x3 and 10 classes: 289,642 parameters, 38.6
    million multiply-accumulates, 1159 kB, in int8 307 kB.

    Args:
        input_shape: (height, width, channels).
        num_classes: Number of logits.
        filters: Channels of each stage, in order.
        repeats: Convolutions of each stage.
        dropout: Share of features silenced before the logits, in [0, 1).

    Returns:
        `keras.Model` answering logits.

    Raises:
        ValueError: if an example is no image, or too small for the stages.

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
    logits = layers.Dense(num_classes, name="logits")(x)
    return keras.Model(inputs, logits, name="vgg")
