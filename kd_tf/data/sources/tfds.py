"""Data sets of TensorFlow Datasets, by name.

Images with a class or a mask, recordings with a class.
"""

import difflib
import errno
import tempfile

from kd_tf.data.sources.source import Examples, Source
from kd_tf.data.sources.tfds_readers import (
    image_reader,
    mask_reader,
    recording_reader,
)

_ARGUMENTS = {
    "images": ("image_size",),
    "masks": ("image_size", "classes", "ignored"),
    "recordings": ("seconds",),
}


def tfds_source(
    name,
    *,
    manual_dir=None,
    image_size=None,
    target_key=None,
    classes=None,
    ignored=(),
    seconds=None,
    name_key=None,
):
    """Downloads and prepares a TFDS builder, or reads it where it lies.

    Args:
        name: Name of a builder, such as `mnist`, or `name/config`.
        manual_dir: Folder holding the builder's own source files; what is
            found there is not downloaded.
        image_size: (height, width) to resize to, or None. Needed where the
            images of the data set differ in size.
        target_key: Feature to learn, such as `segmentation_mask`; None takes
            the builder's supervised one.
        classes: {name: pixel of the mask}, where masks are learnt: numbers,
            or colours such as `#3C1098`.
        ignored: Pixels of masks that count neither in training nor in scores.
        seconds: Length of every recording, where there are recordings.
        name_key: Feature that names the examples, for groups and patterns;
            `a/b` is b within a, unless a feature is called `a/b`.

    Returns:
        `Source`; its test part is the split `test`, else `validation`, else
        None.

    Raises:
        ValueError: if there is no such builder, it cannot be prepared, or
            what it holds cannot be learnt from.
    """
    import tensorflow_datasets as tfds

    builder = _find_builder(tfds, name)
    features = builder.info.features
    keys, kind = _keys_and_kind(tfds, name, builder.info, target_key)
    given = {
        "image_size": image_size,
        "classes": classes,
        "ignored": ignored,
        "seconds": seconds,
    }
    _check_given(name, kind, [key for key, value in given.items() if value])
    if kind == "recordings":
        reader = recording_reader(name, features, keys, seconds)
    elif kind == "masks":
        reader = mask_reader(name, features, keys, image_size, classes, ignored)
    else:
        reader = image_reader(name, features, keys, image_size)
    fields = name_key and _find_feature(name, features, name_key)
    _prepare(tfds, builder, name, manual_dir)
    parts = builder.info.splits
    if "train" not in parts:
        raise ValueError(
            f"TFDS data set '{name}' has nothing to learn from. Allowed: a "
            f"builder with a split 'train'. Received: {', '.join(parts)}"
        )
    problems = []

    def examples(part):
        names = fields and _read_names(tfds, builder, part, fields)

        def chunks():
            data = builder.as_dataset(split=part, shuffle_files=False)
            return reader.read(data, lambda i: _tell(names, part, i), problems)

        return Examples(parts[part].num_examples, chunks, names)

    held_out = [part for part in ("test", "validation") if part in parts]
    return Source(
        class_names=reader.class_names,
        example=reader.example,
        train=examples("train"),
        test=examples(held_out[0]) if held_out else None,
        target=reader.target,
        task=reader.task,
        sample_rate=reader.sample_rate,
        problems=problems,
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


def _keys_and_kind(tfds, name, info, target_key):
    """Keys of examples and of targets, and what is learnt."""
    keys = list(info.supervised_keys or ())
    if target_key is not None:
        if target_key not in info.features:
            raise _no_feature(name, info.features, target_key)
        keys[1:] = [target_key]
    found = [info.features[key] for key in keys]
    image, label = tfds.features.Image, tfds.features.ClassLabel
    kinds = {
        "images": (image, label),
        "masks": (image, image),
        "recordings": (tfds.features.Audio, label),
    }
    for kind, types in kinds.items():
        if len(found) == 2 and all(map(isinstance, found, types)):
            return keys, kind
    raise ValueError(
        f"TFDS data set '{name}' is of no kind that can be learnt. Allowed: "
        "supervised keys, or the first of them and data.target_key, of types "
        + ", ".join(f"({x.__name__}, {y.__name__})" for x, y in kinds.values())
        + ". Received: "
        + (", ".join(type(f).__name__ for f in found) or "no such keys")
    )


def _check_given(name, kind, given):
    unused = [key for key in given if key not in _ARGUMENTS[kind]]
    if unused:
        raise ValueError(
            f"TFDS data set '{name}' holds {kind}. Allowed for them: "
            f"{', '.join(_ARGUMENTS[kind])}. Received: {', '.join(unused)}"
        )


def _find_feature(name, features, key):
    """Keys that lead to a feature, from the outside in."""
    if key in features:
        return (key,)
    fields, inner = tuple(key.split("/")), features
    try:
        for field in fields:
            inner = inner[field]
    except (KeyError, TypeError):
        raise _no_feature(name, features, key) from None
    return fields


def _no_feature(name, features, key):
    return ValueError(
        f"TFDS data set '{name}' has no such feature. Allowed: "
        f"{', '.join(features)}. Received: '{key}'"
    )


def _read_names(tfds, builder, part, fields):
    """The names alone; images and recordings are not decoded."""
    wanted = True
    for field in reversed(fields):
        wanted = {field: wanted}
    data = builder.as_dataset(
        split=part,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(wanted),
    )
    names = []
    for example in data.as_numpy_iterator():
        for field in fields:
            example = example[field]
        is_text = isinstance(example, bytes)
        names.append(example.decode() if is_text else str(example))
    return names


def _tell(names, part, number):
    return names[number] if names else f"example {number} of {part}"


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
