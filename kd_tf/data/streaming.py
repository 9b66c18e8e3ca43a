"""Splits on disk -> `tf.data`, in TensorFlow's own readers.

Shapes: B examples a batch. Memory is bounded by the shuffle buffer, whatever
the size of the data.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

_SHUFFLE_BUFFER_BYTES = 2**27


@dataclasses.dataclass(frozen=True)
class Normalization:
    """What models see of a pixel: `(pixel - mean) / std`.

    Attributes:
        mean: One number, or one a channel, in pixel units.
        std: Positive, one number or one a channel, in pixel units.
    """

    mean: float | list[float]
    std: float | list[float]

    def __call__(self, pixels):
        """Float32 of the shape of `pixels`."""
        mean = tf.constant(self.mean, tf.float32)
        std = tf.constant(self.std, tf.float32)
        return (tf.cast(pixels, tf.float32) - mean) / std


def training_stream(
    split, normalize, *, batch_size, seed, epochs, first_epoch=0
):
    """Batches of all epochs in a row, each epoch in an order of its own.

    The order of an epoch depends on the seed and the number of the epoch
    alone, so that training resumed at an epoch sees what it would have seen.

    Args:
        split: `Split`.
        normalize: `Normalization`.
        batch_size: Examples B a batch; the last batch of an epoch may be
            smaller.
        seed: Int, decides the orders.
        epochs: Number of epochs of the whole training.
        first_epoch: Epoch to begin with, from 0.

    Returns:
        The dataset of (float32 (B, ...), int64 (B,)), and the number of steps
        an epoch.
    """
    examples, count, row_bytes = _records(split)
    buffer = int(np.clip(_SHUFFLE_BUFFER_BYTES // row_bytes, 1, count))

    def one_epoch(epoch):
        # An odd multiplier, so that runs of neighbouring seeds share no order.
        shuffled = examples.shuffle(
            buffer,
            seed=seed * 1_000_003 + epoch + 1,
            reshuffle_each_iteration=False,
        )
        return shuffled.batch(batch_size)

    stream = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)
    steps = math.ceil(count / batch_size)
    num_batches = steps * (epochs - first_epoch)
    return _decode(stream, split, normalize, num_batches), steps


def evaluation_stream(split, normalize, *, batch_size):
    """Batches of a split in its order on disk, once.

    Returns:
        Dataset of (float32 (B, ...), int64 (B,)).
    """
    examples, count, _ = _records(split)
    num_batches = math.ceil(count / batch_size)
    batches = examples.batch(batch_size)
    return _decode(batches, split, normalize, num_batches)


def _records(split):
    """Pairs of raw bytes, their count, and the bytes of one example."""
    x, y = split.images(), np.load(split.y_path, mmap_mode="r")
    row_bytes = math.prod(x.shape[1:])
    records = tf.data.Dataset.zip(
        tf.data.FixedLengthRecordDataset(
            split.x_path, row_bytes, header_bytes=x.offset
        ),
        tf.data.FixedLengthRecordDataset(
            split.y_path, y.itemsize, header_bytes=y.offset
        ),
    )
    return records, len(x), row_bytes


def _decode(batches, split, normalize, num_batches):
    shape = split.images().shape[1:]

    def decode(x, y):
        pixels = tf.reshape(tf.io.decode_raw(x, tf.uint8), (-1, *shape))
        labels = tf.reshape(tf.io.decode_raw(y, tf.int64), (-1,))
        return normalize(pixels), labels

    # Readers of files do not know how much they hold; Keras wants to.
    count = tf.data.experimental.assert_cardinality(num_batches)
    return batches.map(decode).apply(count).prefetch(tf.data.AUTOTUNE)
