"""How the kinds of data sets that TFDS holds are read.

A reader is told by the features of a data set before anything is prepared, so
that one that cannot be read is refused before a download.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from PIL import Image

from kd_tf.data.decoding.files import BadFile
from kd_tf.data.decoding.masks import MaskDecoder, shrink_mask
from kd_tf.data.sources.audio_folder import as_recording, num_samples
from kd_tf.data.sources.source import CLASS_NUMBER, ArraySpec, numbered

_BATCH = 256


@dataclasses.dataclass(frozen=True)
class Reader:
    """How one data set is read.

    Attributes:
        example: `ArraySpec` of an example.
        class_names: One name a class.
        read: (data, name_of, problems) -> chunks as of `Examples`: from a
            dataset of TFDS's examples and a function naming the example of a
            number; what is bad is appended to the problems.
        target: `ArraySpec` of a target.
        task: A name of `kd_tf.tasks.TASKS`.
        sample_rate: Of recordings, in hertz, else None.
    """

    example: ArraySpec
    class_names: list[str]
    read: Callable
    target: ArraySpec = CLASS_NUMBER
    task: str = "classification"
    sample_rate: int | None = None


def image_reader(name, features, keys, image_size):
    """Images with a class."""
    shape = _image_shape(name, features[keys[0]], image_size)

    def read(data, name_of, problems):
        data = data.map(lambda e: (_resized(e[keys[0]], shape), e[keys[1]]))
        batches = data.batch(_BATCH).prefetch(1).as_numpy_iterator()
        return numbered((x, y.astype("int64")) for x, y in batches)

    return Reader(
        ArraySpec(shape, "uint8"), list(features[keys[1]].names), read
    )


def mask_reader(name, features, keys, image_size, classes, ignored):
    """Images with a mask of class numbers."""
    shape = _image_shape(name, features[keys[0]], image_size)
    decode = MaskDecoder(classes, ignored)

    def read(data, name_of, problems):
        data = data.map(lambda e: (_resized(e[keys[0]], shape), e[keys[1]]))

        def pair(image, mask):
            mask = Image.fromarray(mask[..., 0] if mask.shape[2] == 1 else mask)
            numbers = Image.fromarray(decode(mask, keys[1]))
            return image, shrink_mask(numbers, shape[:2])

        return _read_each(data, pair, name_of, problems)

    return Reader(
        ArraySpec(shape, "uint8"),
        list(classes),
        read,
        target=ArraySpec(shape[:2], "uint8"),
        task="segmentation",
    )


def recording_reader(name, features, keys, seconds):
    """Recordings with a class."""
    feature = features[keys[0]]
    whole = np.issubdtype(feature.np_dtype, np.integer)
    if not (feature.sample_rate and seconds and whole):
        raise ValueError(
            f"The recordings of TFDS data set '{name}' have no fixed length. "
            "Allowed: whole numbers at a known rate, and data.seconds. "
            f"Received: {np.dtype(feature.np_dtype).name} at "
            f"{feature.sample_rate} Hz, data.seconds {seconds}"
        )
    length = num_samples(feature.sample_rate, seconds)

    def read(data, name_of, problems):
        def pair(samples, label):
            return as_recording(samples, length), label

        data = data.map(lambda e: (e[keys[0]], e[keys[1]]))
        return _read_each(data, pair, name_of, problems)

    return Reader(
        ArraySpec((length,), "int16"),
        list(features[keys[1]].names),
        read,
        sample_rate=feature.sample_rate,
    )


def _image_shape(name, feature, image_size):
    height, width, channels = feature.shape
    height, width = image_size or (height, width)
    if None in (height, width, channels) or feature.np_dtype != np.uint8:
        raise ValueError(
            f"The images of TFDS data set '{name}' have no fixed size. "
            "Allowed: uint8 images of one size, or data.image_size: [height, "
            f"width] to resize them. Received: {feature.shape} of "
            f"{np.dtype(feature.np_dtype).name}"
        )
    return height, width, channels


def _resized(image, shape):
    import tensorflow as tf

    if tuple(image.shape) != shape:
        image = tf.image.resize(image, shape[:2], antialias=True)
        image = tf.cast(tf.round(image), tf.uint8)
    return tf.ensure_shape(image, shape)


def _read_each(data, pair, name_of, problems):
    """Chunks of the examples that `pair` does not refuse."""
    numbers, xs, ys = [], [], []
    examples = data.prefetch(_BATCH).as_numpy_iterator()
    for number, example in enumerate(examples):
        try:
            x, y = pair(*example)
        except BadFile as error:
            problems.append((name_of(number), str(error)))
            continue
        numbers.append(number)
        xs.append(x)
        ys.append(y)
        if len(numbers) == _BATCH:
            yield np.array(numbers), np.stack(xs), np.stack(ys)
            numbers, xs, ys = [], [], []
    if numbers:
        yield np.array(numbers), np.stack(xs), np.stack(ys)
