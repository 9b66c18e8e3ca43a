"""Images and masks in folders, whole or cut into tiles."""

import collections
import dataclasses
import functools
import os

import numpy as np
from PIL import Image

from kd_tf.data.decoding.files import IMAGES, BadFile, list_files, read_in_order
from kd_tf.data.decoding.images import image_size as size_of
from kd_tf.data.decoding.images import open_image, open_mask, resize
from kd_tf.data.decoding.masks import MaskDecoder, shrink_mask
from kd_tf.data.sources.source import ArraySpec, Examples, Source


def segmentation_folder_source(
    path,
    *,
    classes,
    image_size,
    ignored=(),
    images="images",
    masks="masks",
    tile_size=None,
    channels=3,
):
    """Reads images and the masks that belong to them.

    A mask belongs to the image with the same path below `path`, once the text
    `images` is taken out of the one, `masks` out of the other, and the ending
    off both: `Tile 1/images/a.jpg` and `Tile 1/masks/a.png`, or `a_sat.jpg`
    and `a_mask.png` with `images="_sat"`, `masks="_mask"`.

    Args:
        path: The folder.
        classes: {name: pixel of the mask}: a colour such as `#3C1098`, or a
            whole number from 0 to 255, for masks of class indices.
        image_size: (height, width) of an example; what is cut is resized to
            it, masks by the nearest pixel.
        ignored: Pixels of masks that count neither in training nor in scores.
        images: What the path of an image has in it; may be empty.
        masks: What the path of a mask has in it.
        tile_size: Side in pixels of the squares that images are cut into,
            from the top left; a rest that is smaller is left out. None takes
            images whole.
        channels: 1 for grey, 3 for colour.

    Returns:
        `Source` without a test part of its own; tiles have the name of their
        image.

    Raises:
        ValueError: if there are no pairs of images and masks, or classes and
            ignored pixels are no colours or numbers.
    """
    problems = []
    decode = MaskDecoder(classes, ignored)
    mask_of = _pairs(list_files(path, IMAGES), images, masks, problems)
    counts = {}
    for name in mask_of:
        try:
            counts[name] = _num_tiles(os.path.join(path, name), tile_size)
        except BadFile as error:
            problems.append((name, str(error)))
    if not counts:
        raise ValueError(
            f"{path} holds no image with a mask. Allowed: pairs whose paths "
            f"differ in '{images}' and '{masks}' (data.images, data.masks). "
            f"Received: {_first(problems)}"
        )

    def read(name):
        image = open_image(os.path.join(path, name), channels)
        try:
            mask = open_mask(os.path.join(path, mask_of[name]))
        except BadFile as error:
            raise BadFile(f"its mask {mask_of[name]} {error}") from error
        if mask.size != image.size:
            raise BadFile(
                f"its mask {mask_of[name]} has another size: image "
                f"{image.size}, mask {mask.size} (width, height)"
            )
        numbers = Image.fromarray(decode(mask, mask_of[name]))
        return (
            np.stack([resize(t, image_size) for t in _cut(image, tile_size)]),
            np.stack(
                [shrink_mask(t, image_size) for t in _cut(numbers, tile_size)]
            ),
        )

    names, tiles = list(counts), list(counts.values())
    return Source(
        class_names=list(classes),
        example=ArraySpec((*image_size, channels), "uint8"),
        target=ArraySpec(tuple(image_size), "uint8"),
        task="segmentation",
        palette=decode.palette,
        train=Examples(
            sum(tiles),
            functools.partial(read_in_order, names, tiles, read, problems),
            [name for name in names for _ in range(counts[name])],
            path,
        ),
        test=None,
        problems=problems,
    )


def to_multilabel(source, share):
    """The same images, asked only which classes they show.

    Args:
        source: `Source` of a segmentation.
        share: Least share of an example's pixels for a class to be there, in
            (0, 1).

    Returns:
        `Source` of a multilabel task.
    """

    classes = np.arange(len(source.class_names))

    def chunks(examples):
        for numbers, x, masks in examples.chunks():
            pixels = masks.reshape(len(masks), -1, 1) == classes
            yield numbers, x, (pixels.mean(axis=1) >= share).astype("uint8")

    def told(examples):
        return dataclasses.replace(
            examples, chunks=functools.partial(chunks, examples)
        )

    return Source(
        class_names=source.class_names,
        example=source.example,
        target=ArraySpec((len(source.class_names),), "uint8"),
        task="multilabel",
        train=told(source.train),
        test=source.test and told(source.test),
        problems=source.problems,
    )


def _pairs(names, images, masks, problems):
    """{image: its mask}; what is left alone goes to `problems`."""
    found = collections.defaultdict(dict)
    for name in names:
        stem = name.rpartition(".")[0]
        for kind, text in (("mask", masks), ("image", images)):
            if text in stem:
                pair = found[stem.replace(text, "")]
                if kind in pair:
                    what = f"is a second {kind} beside {pair[kind]}"
                    problems.append((name, what))
                pair.setdefault(kind, name)
                break
    for pair in found.values():
        if len(pair) < 2:
            ((kind, name),) = pair.items()
            other = "mask" if kind == "image" else "image"
            problems.append((name, f"has no {other}"))
    return {
        pair["image"]: pair["mask"] for pair in found.values() if len(pair) == 2
    }


def _num_tiles(path, tile_size):
    height, width = size_of(path)
    if tile_size is None:
        return 1
    count = (height // tile_size) * (width // tile_size)
    if not count:
        raise BadFile(
            f"is smaller than a tile of {tile_size} pixels: {height} high, "
            f"{width} wide"
        )
    return count


def _cut(image, tile_size):
    if tile_size is None:
        return [image]
    width, height = image.size
    return [
        image.crop((left, top, left + tile_size, top + tile_size))
        for top in range(0, height - tile_size + 1, tile_size)
        for left in range(0, width - tile_size + 1, tile_size)
    ]


def _first(problems):
    return "; ".join(f"{name} {what}" for name, what in problems[:3]) or "none"
