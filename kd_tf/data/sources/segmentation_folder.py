"""Images and masks in folders, whole or divided into tiles."""

import collections
import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from kd_tf.data.decoding.files import (
    IMAGES,
    list_files,
    read_in_order,
)
from kd_tf.data.decoding.images import (
    open_image,
    open_mask,
    read_image_size,
    resize,
)
from kd_tf.data.decoding.masks import MaskDecoder, resize_mask
from kd_tf.data.sources.source import (
    ArraySpec,
    Chunks,
    Examples,
    InvalidData,
    Problems,
    Source,
)
from kd_tf.ranges import Count, Fraction, ImageSize, Path


def segmentation_folder_source(
    path: Path,
    *,
    classes: Annotated[Mapping[str, str | int], Field(min_length=2)],
    image_size: ImageSize,
    ignored: Sequence[str | int] = (),
    images: str = "images",
    masks: str = "masks",
    tile_size: Count | None = None,
    channels: Literal[1, 3] = 3,
    present_fraction: Fraction | None = None,
) -> Source:
    """Reads images and the masks that belong to them.

    A mask belongs to the image with the same path below `path`, once the text
    `images` is taken out of the one, `masks` out of the other, and the ending
    off both: `Tile 1/images/a.jpg` and `Tile 1/masks/a.png`, or `a_sat.jpg`
    and `a_mask.png` with `images="_sat"`, `masks="_mask"`.

    Args:
        path: The folder.
        classes: {name: pixel of the mask}: a colour such as `#3C1098`, or a
            whole number from 0 to 255, for masks of class indices.
        image_size: (height, width) of an example; images and tiles are
            resized to it, masks by the nearest pixel.
        ignored: Pixels of masks that count neither in training nor in scores.
        images: What the path of an image has in it; may be empty.
        masks: What the path of a mask has in it.
        tile_size: Side in pixels of the squares that images are divided into,
            from the top left; a rest that is smaller is left out. None takes
            images whole.
        channels: 1 for grey, 3 for colour.
        present_fraction: Makes the task multilabel: least fraction of an
            example's pixels for a class to be present. None keeps the masks.

    Returns:
        `Source` without a test part of its own; tiles have the name of their
        image.

    Raises:
        ValueError: if there are no pairs of images and masks, or classes and
            ignored pixels are not colours or numbers.
    """
    problems: Problems = []
    decode = MaskDecoder(classes, ignored)
    mask_of = _pairs(list_files(path, IMAGES), images, masks, problems)
    scenes = _Scenes(path, mask_of, decode, image_size, tile_size, channels)
    counts = scenes.count_tiles(problems)
    if not counts:
        raise ValueError(
            f"{path} holds no image with a mask. `images` and `masks` must be "
            "what their paths differ in. Received: "
            f"images='{images}', masks='{masks}': {_first(problems)}"
        )
    names, tiles = list(counts), list(counts.values())
    chunks = functools.partial(
        read_in_order, names, tiles, read=scenes.read, problems=problems
    )
    source = Source(
        class_names=list(classes),
        example=ArraySpec((*image_size, channels), "uint8"),
        target=ArraySpec(tuple(image_size), "uint8"),
        task="segmentation",
        palette=decode.palette,
        train=Examples(
            sum(tiles),
            chunks,
            [name for name in names for _ in range(counts[name])],
            path,
        ),
        test=None,
        problems=problems,
    )
    if present_fraction is None:
        return source
    return _to_multilabel(source, present_fraction)


@dataclasses.dataclass(frozen=True)
class _Scenes:
    """Images below a folder, each with its mask, and how they are read."""

    folder: str
    mask_of: dict[str, str]
    decode: MaskDecoder
    image_size: Sequence[int]
    tile_size: int | None
    channels: int

    def count_tiles(self, problems: Problems) -> dict[str, int]:
        """{image: number of its tiles}; invalid ones go to `problems`."""
        counts = {}
        for name in self.mask_of:
            try:
                size = read_image_size(os.path.join(self.folder, name))
                counts[name] = _num_tiles(*size, self.tile_size)
            except InvalidData as error:
                problems.append((name, str(error)))
        return counts

    def read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Tiles of an image, and of the class numbers of its mask."""
        image = open_image(os.path.join(self.folder, name), self.channels)
        mask = self._open_mask(self.mask_of[name], image.size)
        boxes = _tile_boxes(*image.size, self.tile_size)
        x = [resize(image.crop(box), self.image_size) for box in boxes]
        y = [resize_mask(mask.crop(box), self.image_size) for box in boxes]
        return np.stack(x), np.stack(y)

    def _open_mask(self, name: str, image_size: tuple[int, int]) -> Image.Image:
        try:
            mask = open_mask(os.path.join(self.folder, name))
        except InvalidData as error:
            raise InvalidData(f"its mask {name} {error}") from error
        if mask.size != image_size:
            raise InvalidData(
                f"its mask {name} has another size: image {image_size}, mask "
                f"{mask.size} (width, height)"
            )
        return Image.fromarray(self.decode(mask, name))


def _num_tiles(height: int, width: int, tile_size: int | None) -> int:
    if tile_size is None:
        return 1
    count = (height // tile_size) * (width // tile_size)
    if not count:
        raise InvalidData(
            f"is smaller than a tile of {tile_size} pixels: {height} high, "
            f"{width} wide"
        )
    return count


def _tile_boxes(
    width: int, height: int, tile_size: int | None
) -> list[tuple[int, int, int, int]]:
    """(left, top, right, bottom) of every tile, row by row."""
    if tile_size is None:
        return [(0, 0, width, height)]
    return [
        (left, top, left + tile_size, top + tile_size)
        for top in range(0, height - tile_size + 1, tile_size)
        for left in range(0, width - tile_size + 1, tile_size)
    ]


def _pairs(
    names: Iterable[str], images: str, masks: str, problems: Problems
) -> dict[str, str]:
    """{image: its mask}; files without a partner go to `problems`."""
    pairs: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for name in names:
        stem = name.rpartition(".")[0]
        # Masks first: `images` may be empty, which every path contains.
        for role, text in (("mask", masks), ("image", images)):
            if text in stem:
                pair = pairs[stem.replace(text, "")]
                if role in pair:
                    reason = f"is a second {role} beside {pair[role]}"
                    problems.append((name, reason))
                pair.setdefault(role, name)
                break
    for pair in pairs.values():
        if len(pair) < 2:
            ((role, name),) = pair.items()
            other = "mask" if role == "image" else "image"
            problems.append((name, f"has no {other}"))
    return {
        pair["image"]: pair["mask"] for pair in pairs.values() if len(pair) == 2
    }


def _to_multilabel(source: Source, present_fraction: float) -> Source:
    """The same images, with the classes that are present as targets."""
    classes = np.arange(len(source.class_names))

    def chunks() -> Chunks:
        for numbers, x, masks in source.train.chunks():
            is_class = masks.reshape(len(masks), -1, 1) == classes
            is_present = is_class.mean(axis=1) >= present_fraction
            yield numbers, x, is_present.astype("uint8")

    return dataclasses.replace(
        source,
        target=ArraySpec((len(source.class_names),), "uint8"),
        task="multilabel",
        palette=None,
        train=dataclasses.replace(source.train, chunks=chunks),
    )


def _first(problems: Problems) -> str:
    return "; ".join(f"{name} {why}" for name, why in problems[:3]) or "none"
