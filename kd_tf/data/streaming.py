"""Splits on disk -> `tf.data`, in TensorFlow's own readers.

Shapes: B examples a batch. Memory is bounded by the shuffle buffer, whatever
the size of the data.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

_SHUFFLE_BUFFER_BYTES = 2**26
_TARGETS = {"uint8": tf.int32}  # masks; losses want numbers with a sign


@dataclasses.dataclass(frozen=True)
class Normalization:
    """What models see of a value: `(value - mean) / std`.

    Attributes:
        mean: One number, or one for each entry of the last axis.
        std: Positive, one number or one for each entry of the last axis.
    """

    mean: float | list[float]
    std: float | list[float]

    def __call__(self, values):
        """Float32 of the shape of `values`."""
        mean = tf.constant(self.mean, tf.float32)
        std = tf.constant(self.std, tf.float32)
        return (tf.cast(values, tf.float32) - mean) / std


def training_stream(
    split,
    normalize,
    *,
    batch_size,
    seed,
    epochs,
    first_epoch=0,
    augment=None,
    normalize_targets=None,
):
    """Batches of all epochs in a row, each epoch in an order of its own.

    The order of an epoch, and what augmentation makes of it, depend on the
    seed and the number of the epoch alone, so that training resumed at an
    epoch sees what it would have seen.

    Args:
        split: `Split`.
        normalize: `Normalization` of the examples.
        batch_size: Examples B a batch; the last batch of an epoch may be
            smaller.
        seed: Int, decides the orders.
        epochs: Number of epochs of the whole training.
        first_epoch: Epoch to begin with, from 0.
        augment: `Augmentation`, or None.
        normalize_targets: `Normalization` of a regression's targets, or None.

    Returns:
        The dataset of (float32 (B, ...), targets (B, ...)), and the number of
        steps an epoch.

    Raises:
        ValueError: if these examples cannot be augmented so.
    """
    if augment is not None:
        augment.check(split.examples())
    examples, row_bytes = _records(split)
    count = split.count
    buffer = int(np.clip(_SHUFFLE_BUFFER_BYTES // row_bytes, 1, count))
    steps = math.ceil(count / batch_size)

    def one_epoch(epoch):
        # An odd multiplier, so that runs of neighbouring seeds share no order.
        shuffled = examples.shuffle(
            buffer,
            seed=seed * 1_000_003 + epoch + 1,
            reshuffle_each_iteration=False,
        )
        return shuffled.batch(batch_size)

    def augmented(step, batch):
        x, y = decode(*batch)
        if augment is not None:
            x, y = augment(x, y, tf.stack([tf.cast(seed, tf.int64), step]))
        return finish(x, y)

    decode = _decoder(split)
    finish = _finisher(normalize, normalize_targets)
    stream = tf.data.Dataset.range(first_epoch, epochs).flat_map(one_epoch)
    stream = stream.enumerate(first_epoch * steps).map(
        augmented, num_parallel_calls=tf.data.AUTOTUNE
    )
    return _counted(stream, steps * (epochs - first_epoch)), steps


def evaluation_stream(split, normalize, *, batch_size, normalize_targets=None):
    """Batches of a split in its order on disk, once.

    Returns:
        Dataset of (float32 (B, ...), targets (B, ...)).
    """
    examples, _ = _records(split)
    decode = _decoder(split)
    finish = _finisher(normalize, normalize_targets)
    stream = examples.batch(batch_size).map(lambda x, y: finish(*decode(x, y)))
    return _counted(stream, math.ceil(split.count / batch_size))


def _records(split):
    """Pairs of raw bytes, and the bytes of one pair."""
    columns = [
        (split.x_path, split.examples()),
        (split.y_path, split.targets()),
    ]
    sizes = [math.prod(rows.shape[1:]) * rows.itemsize for _, rows in columns]
    readers = [
        tf.data.FixedLengthRecordDataset(path, size, header_bytes=rows.offset)
        for (path, rows), size in zip(columns, sizes, strict=True)
    ]
    return tf.data.Dataset.zip(*readers), sum(sizes)


def _decoder(split):
    rows = split.examples(), split.targets()

    def decode(*raw):
        return tuple(
            tf.reshape(tf.io.decode_raw(r, a.dtype), (-1, *a.shape[1:]))
            for r, a in zip(raw, rows, strict=True)
        )

    return decode


def _finisher(normalize, normalize_targets):
    def finish(x, y):
        if normalize_targets is not None:
            return normalize(x), normalize_targets(y)
        return normalize(x), tf.cast(y, _TARGETS.get(y.dtype.name, y.dtype))

    return finish


def _counted(batches, num_batches):
    # Readers of files do not know how much they hold; Keras wants to.
    count = tf.data.experimental.assert_cardinality(num_batches)
    return batches.apply(count).prefetch(tf.data.AUTOTUNE)
