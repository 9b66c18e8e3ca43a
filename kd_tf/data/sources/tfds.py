"""Data sets of TensorFlow Datasets, by name.

Images with a class or a mask, recordings with a class.
"""

import dataclasses
import difflib
import errno
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from kd_tf.data.decoding.masks import MaskDecoder, resize_mask
from kd_tf.data.decoding.recordings import as_recording, num_samples
from kd_tf.data.sources.source import (
    CLASS_NUMBER,
    ArraySpec,
    Chunks,
    Examples,
    Problems,
    Source,
    decode_each,
    numbered,
)
from kd_tf.ranges import ImageSize, Path, Positive

_BATCH = 256
Tensor = Any


def tfds_source(
    name: str,
    *,
    manual_dir: Path | None = None,
    image_size: ImageSize | None = None,
    target_key: str | None = None,
    classes: (
        Annotated[Mapping[str, str | int], Field(min_length=2)] | None
    ) = None,
    ignored: Sequence[str | int] = (),
    seconds: Positive | None = None,
    name_key: str | None = None,
) -> Source:
    """Downloads and prepares a TFDS builder, or reads it where it lies.

    Args:
        name: Name of a builder, such as `mnist`, or `name/config`.
        manual_dir: Folder holding the builder's own source files; files that
            are there are not downloaded.
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
            its features cannot be learnt.
    """
    import tensorflow_datasets as tfds

    builder = _find_builder(tfds, name)
    features = builder.info.features
    # Checked by the features alone: what cannot be read is not downloaded.
    keys = _find_keys(name, builder.info, target_key)
    kind = _find_kind(tfds, name, [features[key] for key in keys])
    given = {
        "image_size": image_size,
        "classes": classes,
        "ignored": ignored,
        "seconds": seconds,
    }
    _check_given(name, kind, given)
    needed = {key: given[key] for key in _KINDS[kind].arguments}
    reader = _KINDS[kind].make_reader(name, features, keys, **needed)
    fields = _find_fields(name, features, name_key)
    _prepare(tfds, builder, name, manual_dir)
    parts = builder.info.splits
    if "train" not in parts:
        raise ValueError(
            f"TFDS data set '{name}' must have a split 'train'. Received: "
            f"{', '.join(parts)}"
        )
    problems: Problems = []

    def examples(part: str) -> Examples:
        names = _read_names(tfds, builder, part, fields) if fields else None

        def name_of(number: int) -> str:
            return names[number] if names else f"example {number} of {part}"

        def chunks() -> Chunks:
            data = builder.as_dataset(split=part, shuffle_files=False)
            data = data.map(lambda e: reader.prepare(e[keys[0]], e[keys[1]]))
            return reader.read(data, name_of, problems)

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


@dataclasses.dataclass(frozen=True)
class _Reader:
    """How the examples of one data set are read; attributes as of `Source`.

    Attributes:
        decode: (example, target) as TFDS has them -> the same as a source
            has them; raises `InvalidData`. None if there is nothing to
            decode, so that whole batches can be read.
    """

    example: ArraySpec
    class_names: list[str]
    decode: Callable[[Any, Any], tuple[Any, Any]] | None = None
    target: ArraySpec = CLASS_NUMBER
    task: str = "classification"
    sample_rate: int | None = None

    def prepare(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Resizes images, in TensorFlow."""
        import tensorflow as tf

        shape = self.example.shape
        if self.sample_rate is not None:
            return x, y
        if tuple(x.shape) != shape:
            x = tf.image.resize(x, shape[:2], antialias=True)
            x = tf.cast(tf.round(x), tf.uint8)
        return tf.ensure_shape(x, shape), y

    def read(
        self, data: Any, name_of: Callable[[int], str], problems: Problems
    ) -> Chunks:
        """Chunks of a `tf.data.Dataset`; invalid examples go to `problems`."""
        if self.decode is None:
            batches = data.batch(_BATCH).prefetch(1).as_numpy_iterator()
            return numbered((x, y.astype("int64")) for x, y in batches)
        examples = data.prefetch(_BATCH).as_numpy_iterator()
        return decode_each(
            examples, self.decode, name_of=name_of, problems=problems
        )


def _image_reader(name, features, keys, image_size):
    """Images with a class."""
    shape = _image_shape(name, features[keys[0]], image_size)
    return _Reader(ArraySpec(shape, "uint8"), list(features[keys[1]].names))


def _mask_reader(name, features, keys, image_size, classes, ignored):
    """Images with a mask."""
    shape = _image_shape(name, features[keys[0]], image_size)
    decode_mask = MaskDecoder(classes, ignored)

    def decode(image: np.ndarray, mask: np.ndarray) -> tuple[Any, Any]:
        pixels = mask[..., 0] if mask.shape[2] == 1 else mask
        numbers = decode_mask(Image.fromarray(pixels), keys[1])
        return image, resize_mask(Image.fromarray(numbers), shape[:2])

    return _Reader(
        ArraySpec(shape, "uint8"),
        list(classes),
        decode,
        target=ArraySpec(shape[:2], "uint8"),
        task="segmentation",
    )


def _recording_reader(name, features, keys, seconds):
    """Recordings with a class."""
    feature = features[keys[0]]
    rate, dtype = feature.sample_rate, np.dtype(feature.np_dtype)
    if not (rate and seconds and np.issubdtype(dtype, np.integer)):
        raise ValueError(
            f"The recordings of TFDS data set '{name}' must be whole numbers "
            "at a known rate, and `seconds` must be given. Received: "
            f"{dtype.name} at {rate} Hz, seconds={seconds}"
        )
    length = num_samples(rate, seconds)
    return _Reader(
        ArraySpec((length,), "int16"),
        list(features[keys[1]].names),
        lambda samples, label: (as_recording(samples, length), label),
        sample_rate=rate,
    )


def _image_shape(name, feature, image_size):
    height, width, channels = feature.shape
    height, width = image_size or (height, width)
    if None in (height, width, channels) or feature.np_dtype != np.uint8:
        raise ValueError(
            f"The images of TFDS data set '{name}' must be uint8 and of one "
            "size; `image_size`, (height, width), resizes them. Received: "
            f"{feature.shape} of {np.dtype(feature.np_dtype).name}"
        )
    return height, width, channels


def _find_builder(tfds, name):
    try:
        return tfds.builder(name)
    except tfds.core.DatasetNotFoundError as error:
        names = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
        raise ValueError(
            f"There is no TFDS data set '{name}' among the {len(names)} "
            "builders of tensorflow_datasets"
            + (f"; nearest are {', '.join(near)}" if near else "")
            + f". Received: '{name}'"
        ) from error
    except (ValueError, AssertionError) as error:
        raise ValueError(
            f"TFDS data set '{name}' cannot be built. Received: {error}"
        ) from error


class _Kind(NamedTuple):
    """Types of an example and its target, and how they are read."""

    types: tuple[str, str]
    make_reader: Callable[..., _Reader]
    arguments: tuple[str, ...]


_KINDS = {
    "images": _Kind(("Image", "ClassLabel"), _image_reader, ("image_size",)),
    "masks": _Kind(
        ("Image", "Image"), _mask_reader, ("image_size", "classes", "ignored")
    ),
    "recordings": _Kind(
        ("Audio", "ClassLabel"), _recording_reader, ("seconds",)
    ),
}


def _find_keys(name, info, target_key):
    """Keys of the examples and of their targets."""
    keys = list(info.supervised_keys or ())
    if target_key is not None:
        if target_key not in info.features:
            raise _no_feature(name, info.features, target_key)
        keys[1:] = [target_key]
    return keys


def _find_kind(tfds, name, features):
    for kind, (types, _, _) in _KINDS.items():
        bases = [getattr(tfds.features, base) for base in types]
        if len(features) == 2 and all(map(isinstance, features, bases)):
            return kind
    raise ValueError(
        f"TFDS data set '{name}' has no features that can be learnt: its "
        "supervised keys, or the first of them and `target_key`. Allowed: "
        + ", ".join(f"({x}, {y})" for (x, y), _, _ in _KINDS.values())
        + ". Received: "
        + (", ".join(type(f).__name__ for f in features) or "no such keys")
    )


def _check_given(name, kind, given):
    arguments = _KINDS[kind].arguments
    unused = [k for k, value in given.items() if value and k not in arguments]
    if unused:
        raise ValueError(
            f"TFDS data set '{name}' holds {kind}. Allowed for them: "
            f"{', '.join(arguments)}. Received: {', '.join(unused)}"
        )


def _find_fields(name, features, key):
    """Keys that lead to a feature, from the outside in."""
    if not key or key in features:
        return (key,) if key else ()
    fields, inner = tuple(key.split("/")), features
    try:
        for field in fields:
            inner = inner[field]
    except (KeyError, TypeError):
        raise _no_feature(name, features, key) from None
    return fields


def _no_feature(name, features, key):
    return ValueError(
        f"TFDS data set '{name}' has no feature '{key}'. Allowed: "
        f"{', '.join(features)}. Received: '{key}'"
    )


def _read_names(tfds, builder, part, fields):
    """The names alone; images and recordings are not decoded."""
    selection = True
    for field in reversed(fields):
        selection = {field: selection}
    decoders = tfds.decode.PartialDecoding(selection)
    data = builder.as_dataset(
        split=part, shuffle_files=False, decoders=decoders
    )
    names = []
    for example in data.as_numpy_iterator():
        for field in fields:
            example = example[field]
        is_text = isinstance(example, bytes)
        names.append(example.decode() if is_text else str(example))
    return names


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
            f"TFDS data set '{name}' cannot be prepared. Check the network, "
            "or give `manual_dir` with the data set's own source files. "
            f"Received: {type(error).__name__}: {reason}"
        ) from error
