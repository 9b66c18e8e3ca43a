"""Image classification data sets of TensorFlow Datasets, by name."""

import difflib
import errno
import tempfile

import numpy as np

from kd_tf.data.sources import Examples, Source

_BATCH = 256


def tfds_source(name, *, manual_dir=None, image_size=None):
    """Downloads and prepares a TFDS builder, or reads it where it lies.

    Args:
        name: Name of a builder, such as `mnist`, or `name/config`.
        manual_dir: Folder holding the builder's own source files; what is
            found there is not downloaded.
        image_size: (height, width) to resize to, or None. Needed where the
            images of the data set differ in size.

    Returns:
        `Source`; its test part is the split `test`, else `validation`, else
        None.

    Raises:
        ValueError: if there is no such builder, it cannot be prepared, or it
            does not classify images.
    """
    import tensorflow_datasets as tfds

    builder = _find_builder(tfds, name)
    image_key, label_key = _image_and_label(tfds, name, builder.info)
    shape = _example_shape(name, builder.info.features[image_key], image_size)
    _prepare(tfds, builder, name, manual_dir)
    parts = builder.info.splits
    if "train" not in parts:
        raise ValueError(
            f"TFDS data set '{name}' has nothing to learn from. Allowed: a "
            f"builder with a split 'train'. Received: {', '.join(parts)}"
        )
    held_out = [part for part in ("test", "validation") if part in parts]

    def examples(part):
        def chunks():
            data = builder.as_dataset(split=part, shuffle_files=False)
            return _read(data, image_key, label_key, shape)

        return Examples(parts[part].num_examples, chunks)

    return Source(
        class_names=list(builder.info.features[label_key].names),
        example_shape=shape,
        train=examples("train"),
        test=examples(held_out[0]) if held_out else None,
    )


def _find_builder(tfds, name):
    try:
        return tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        names = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
        raise ValueError(
            f"There is no TFDS data set '{name}'. Allowed: one of the "
            f"{len(names)} builders of tensorflow_datasets"
            + (f", nearest {', '.join(near)}" if near else "")
            + f". Received: '{name}'"
        ) from error
    except (ValueError, AssertionError) as error:
        raise ValueError(
            f"TFDS data set '{name}' cannot be built. Received: {error}"
        ) from error


def _image_and_label(tfds, name, info):
    keys = info.supervised_keys
    features = [info.features[key] for key in keys] if keys else []
    if (
        len(features) != 2
        or not isinstance(features[0], tfds.features.Image)
        or not isinstance(features[1], tfds.features.ClassLabel)
    ):
        raise ValueError(
            f"TFDS data set '{name}' does not classify images. Allowed: a "
            "builder with supervised keys (Image, ClassLabel). Received: "
            + (", ".join(type(f).__name__ for f in features) or "no such keys")
        )
    return keys


def _example_shape(name, feature, image_size):
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


def _prepare(tfds, builder, name, manual_dir):
    try:
        # TFDS keeps what it unpacks under the file's name alone, and would
        # take MNIST's files for those of Fashion-MNIST, which share names.
        with tempfile.TemporaryDirectory(prefix="kd_tf.extracted.") as folder:
            options = tfds.download.DownloadConfig(
                manual_dir=manual_dir,
                extract_dir=folder if manual_dir else None,
                try_download_gcs=manual_dir is None,
            )
            builder.download_and_prepare(download_config=options)
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"TFDS data set '{name}' cannot be prepared. Allowed: a network, "
            "or data.manual_dir with the data set's own source files. "
            f"Received: {type(error).__name__}: {reason}"
        ) from error


def _read(data, image_key, label_key, shape):
    import tensorflow as tf

    def resize(example):
        image = example[image_key]
        if tuple(image.shape) != shape:
            image = tf.image.resize(image, shape[:2], antialias=True)
            image = tf.cast(tf.round(image), tf.uint8)
        return tf.ensure_shape(image, shape), example[label_key]

    data = data.map(resize, num_parallel_calls=tf.data.AUTOTUNE)
    for images, labels in data.batch(_BATCH).prefetch(1).as_numpy_iterator():
        yield images, labels.astype("int64")
