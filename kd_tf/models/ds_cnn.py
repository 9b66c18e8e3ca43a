"""Depthwise-separable convolutional network for short sounds."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import keras
from keras import layers

from kd_tf.models.blocks import conv_block, separable_block
from kd_tf.models.log_mel import as_sequence
from kd_tf.ranges import ArgumentsOf, Count, Share, WholeNumber


def ds_cnn(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    filters: Count = 64,
    blocks: WholeNumber = 4,
    dropout: Share = 0.0,
    log_mel: Annotated[
        Mapping[str, Any], ArgumentsOf("kd_tf.models.log_mel:LogMel")
    ]
    | None = None,
) -> keras.Model:
    """Builds a network that reads a spectrogram as an image.

    Nearly all of its convolutions are depthwise-separable.

    At its defaults, for 16000 and 10 classes: 24,362 parameters, 13.2 million
    multiply-accumulates, 158 kB, in int8 79 kB.

    Args:
        input_shape: (samples,) or (samples, 1) of a waveform in [-1, 1), or
            (steps, features) of a spectrogram.
        num_outputs: Number of logits.
        filters: Channels of every convolution.
        blocks: Number of depthwise-separable blocks after the first
            convolution.
        dropout: Fraction of features dropped before the logits while
            training, in [0, 1).
        log_mel: Arguments of `LogMel`, which only waveforms pass; None for
            its defaults.

    Returns:
        `keras.Model` whose output is logits (B, num_outputs).

    Raises:
        ValueError: if examples are not sequences of fixed length.

    Reference:
        Zhang et al., 2017, https://arxiv.org/abs/1711.07128, section 4.4; with
        log-mel bands for its MFCC.
    """
    inputs = keras.Input(input_shape, name="sound")
    x = as_sequence(inputs, log_mel)
    x = layers.Reshape((*x.shape[1:], 1), name="as_image")(x)
    x = conv_block(x, filters, size=(10, 4), strides=2, name="stem")
    for i in range(1, blocks + 1):
        x = separable_block(x, filters, name=f"block_{i}")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_outputs, name="logits")(x)
    return keras.Model(inputs, logits, name="ds_cnn")
