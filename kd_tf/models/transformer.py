"""Transformer encoder for sequences, sounds and small images."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import keras
from keras import layers

from kd_tf.models.log_mel import as_sequence
from kd_tf.models.position_embedding import PositionEmbedding
from kd_tf.ranges import ArgumentsOf, Count, Share, WholeNumber

Tensor = Any  # a Keras tensor (B, steps, features)


def transformer(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    width: Count = 64,
    depth: WholeNumber = 2,
    heads: Count = 4,
    dropout: Share = 0.0,
    patch: Count = 4,
    log_mel: Annotated[
        Mapping[str, Any], ArgumentsOf("kd_tf.models.log_mel:LogMel")
    ]
    | None = None,
) -> keras.Model:
    """Builds blocks of attention and two dense layers, normalized before each.

    What an example is follows from its shape: three axes are an image, split
    into patches; (samples,) or (samples, 1) a waveform, made a log-mel
    spectrogram; (steps, features) a sequence as it stands.

    At its defaults, for 16000 and 10 classes: 73,642 parameters, 6.5 million
    multiply-accumulates, 377 kB, in int8 159 kB.

    Args:
        input_shape: Shape of one example, as above.
        num_outputs: Number of logits.
        width: Features of every step, a multiple of `heads`.
        depth: Number of blocks.
        heads: Attention heads of a block.
        dropout: Fraction of what each block adds that is dropped while
            training, in [0, 1).
        patch: Side of a patch in pixels; used for images alone.
        log_mel: Arguments of `LogMel`, which only waveforms pass; None for
            its defaults.

    Returns:
        `keras.Model` whose output is logits (B, num_outputs).

    Raises:
        ValueError: if examples are none of the three, an image does not
            divide into patches, or `width` not into heads.

    Reference:
        Vaswani et al., 2017, https://arxiv.org/abs/1706.03762; patches from
        Dosovitskiy et al., 2020, https://arxiv.org/abs/2010.11929.
    """
    if width % heads:
        raise ValueError(
            f"`width` must be a multiple of `heads`. Received: width={width}, "
            f"heads={heads}"
        )
    inputs = keras.Input(input_shape, name="sequence")
    if len(input_shape) == 3:
        x = _patches(inputs, width, patch)
    else:
        x = layers.Dense(width, name="embed")(as_sequence(inputs, log_mel))
    x = PositionEmbedding(name="positions")(x)
    for i in range(1, depth + 1):
        x = _block(x, width, heads, dropout, f"block_{i}")
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling1D(name="average")(x)
    logits = layers.Dense(num_outputs, name="logits")(x)
    return keras.Model(inputs, logits, name="transformer")


def _patches(image: Any, width: int, patch: int) -> Tensor:
    """(B, height, width, channels) -> one step of features for each patch."""
    height, breadth = image.shape[1:3]
    if not (height and breadth) or height % patch or breadth % patch:
        raise ValueError(
            f"an image is split into patches of {patch}x{patch} pixels, so "
            f"height and width must be fixed and divide by {patch}. "
            f"Received: {image.shape[1:]}"
        )
    x = layers.Conv2D(width, patch, strides=patch, name="embed")(image)
    steps = (height // patch) * (breadth // patch)
    return layers.Reshape((steps, width), name="steps")(x)


def _block(
    x: Tensor, width: int, heads: int, dropout: float, name: str
) -> Tensor:
    y = layers.LayerNormalization(name=f"{name}_attention_norm")(x)
    y = layers.MultiHeadAttention(
        heads, width // heads, name=f"{name}_attention"
    )(y, y)
    y = layers.Dropout(dropout, name=f"{name}_attention_dropout")(y)
    x = layers.Add(name=f"{name}_attention_add")([x, y])
    y = layers.LayerNormalization(name=f"{name}_dense_norm")(x)
    y = layers.Dense(2 * width, activation="relu", name=f"{name}_dense_1")(y)
    y = layers.Dense(width, name=f"{name}_dense_2")(y)
    y = layers.Dropout(dropout, name=f"{name}_dense_dropout")(y)
    return layers.Add(name=f"{name}_add")([x, y])
