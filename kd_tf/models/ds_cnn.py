"""Depthwise-separable convolutional network for short sounds."""

import keras
from keras import layers

from kd_tf.models.blocks import conv_block, separable_block
from kd_tf.models.log_mel import as_sequence


def ds_cnn(input_shape, num_classes, *, filters, blocks, dropout, log_mel):
    """A spectrogram read as an image, mostly by depthwise convolutions.

    At its defaults, for 16000 and 10 classes: 24,362 parameters, 13.2 million
    multiply-accumulates, 158 kB, in int8 79 kB.

    Args:
        input_shape: (samples,) or (samples, 1) of a waveform in [-1, 1), or
            (steps, features) of a spectrogram.
        num_classes: Number of logits.
        filters: Channels of every convolution.
        blocks: Number of depthwise-separable blocks after the first
            convolution.
        dropout: Share of features silenced before the logits, in [0, 1).
        log_mel: Dict, arguments of `LogMel`; only waveforms need it.

    Returns:
        `keras.Model` answering logits.

    Raises:
        ValueError: if an example is no sequence of fixed length.

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
    logits = layers.Dense(num_classes, name="logits")(x)
    return keras.Model(inputs, logits, name="ds_cnn")
