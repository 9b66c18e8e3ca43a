"""Splits on disk -> `tf.data`, in TensorFlow's own readers.

Shapes: B examples a batch. Memory is bounded by the shuffle buffer, whatever
the size of the data.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kd_tf.data.augmentation import Augmentation
from kd_tf.data.splitting.splits import Split

Tensor = Any
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

    def __call__(self, values: Tensor) -> Tensor:
        """Float32 of the shape of `values`."""
        mean = tf.constant(self.mean, tf.float32)
        std = tf.constant(self.std, tf.float32)
        return (tf.cast(values, tf.float32) - mean) / std


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What happens to a batch on its way from the disk to a model.

    Attributes:
        normalize: `Normalization` of the examples.
        normalize_targets: `Normalization` of targets that are values; None
            leaves targets as they are.
        augment: `Augmentation` of training examples, or None; evaluation
            leaves it out.
    """

    normalize: Normalization
    normalize_targets: Normalization | None = None
    augment: Augmentation | None = None

    def finish(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Normalizes examples (B, ...) and targets (B, ...)."""
        if self.normalize_targets is not None:
            return self.normalize(x), self.normalize_targets(y)
        y = tf.cast(y, _TARGETS.get(y.dtype.name, y.dtype))
        return self.normalize(x), y


def training_stream(
    split: Split,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    epochs: range,
    order_seed: int,
    augmentation_seed: int,
) -> tuple[tf.data.Dataset, int]:
    """Makes a stream of batches of all epochs, each in an order of its own.

    The order of an epoch, and what augmentation makes of it, depend on the
    seeds and the number of the epoch alone, so that training resumed at an
    epoch sees what it would have seen.

    Args:
        split: `Split`.
        preprocessing: `Preprocessing`.
        batch_size: Examples B a batch; the last batch of an epoch may be
            smaller.
        epochs: Numbers of the epochs, from 0: `range(10)` for ten of them,
            `range(4, 10)` for what is left after four.
        order_seed: Decides the orders.
        augmentation_seed: Decides what augmentation makes of the examples.

    Returns:
        The dataset of (float32 (B, ...), targets (B, ...)), and the number of
        steps an epoch.

    Raises:
        ValueError: if `augment` does not fit these examples.
    """
    augment = preprocessing.augment
    if augment is not None:
        augment.check(split.examples())
    examples, row_bytes = _records(split)
    count = split.count
    buffer = int(np.clip(_SHUFFLE_BUFFER_BYTES // row_bytes, 1, count))
    steps = math.ceil(count / batch_size)
    decode = _decoder(split)

    def one_epoch(epoch: Tensor) -> tf.data.Dataset:
        # An odd multiplier, so that runs of neighbouring seeds share no order.
        shuffled = examples.shuffle(
            buffer,
            seed=order_seed * 1_000_003 + epoch + 1,
            reshuffle_each_iteration=False,
        )
        return shuffled.batch(batch_size)

    def prepare(
        step: Tensor, batch: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        x, y = decode(*batch)
        if augment is not None:
            seed = tf.stack([tf.cast(augmentation_seed, tf.int64), step])
            x, y = augment(x, y, seed)
        return preprocessing.finish(x, y)

    stream = tf.data.Dataset.range(epochs.start, epochs.stop)
    stream = stream.flat_map(one_epoch)
    # Steps are counted over the whole training, so that augmentation goes on
    # where it was interrupted.
    stream = stream.enumerate(epochs.start * steps).map(
        prepare, num_parallel_calls=tf.data.AUTOTUNE
    )
    return _counted(stream, steps * len(epochs)), steps


def evaluation_stream(
    split: Split, preprocessing: Preprocessing, *, batch_size: int
) -> tf.data.Dataset:
    """Makes a stream of the batches of a split, once, in its order on disk.

    Args:
        split: `Split`.
        preprocessing: `Preprocessing`; nothing is augmented.
        batch_size: Examples B a batch; the last may be smaller.

    Returns:
        Dataset of (float32 (B, ...), targets (B, ...)).
    """
    examples, _ = _records(split)
    decode = _decoder(split)
    stream = examples.batch(batch_size).map(
        lambda x, y: preprocessing.finish(*decode(x, y))
    )
    return _counted(stream, math.ceil(split.count / batch_size))


def _records(split: Split) -> tuple[tf.data.Dataset, int]:
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


def _decoder(split: Split) -> Callable[..., tuple[Tensor, ...]]:
    rows = split.examples(), split.targets()

    def decode(*raw: Tensor) -> tuple[Tensor, ...]:
        return tuple(
            tf.reshape(tf.io.decode_raw(r, a.dtype), (-1, *a.shape[1:]))
            for r, a in zip(raw, rows, strict=True)
        )

    return decode


def _counted(batches: tf.data.Dataset, num_batches: int) -> tf.data.Dataset:
    # Readers of files do not know how much they hold; Keras wants to.
    count = tf.data.experimental.assert_cardinality(num_batches)
    return batches.apply(count).prefetch(tf.data.AUTOTUNE)
