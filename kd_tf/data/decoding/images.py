"""Decoding and resizing of image files, by Pillow."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from kd_tf.data.sources.source import InvalidData

_MODES = {1: "L", 3: "RGB"}
_ORIENTATION = 0x0112  # of EXIF; above 4 the picture lies on its side


def open_image(path: str, channels: int) -> Image.Image:
    """Decodes an image file as it is meant to be seen.

    Args:
        path: Image file of any kind that Pillow reads.
        channels: 1 for grey, 3 for colour.

    Raises:
        InvalidData: if it cannot be read.
    """
    with _decoding(path) as image:
        # Cameras turn the picture by a note, not by its pixels.
        turned = ImageOps.exif_transpose(image)
        return _eight_bits(turned).convert(_MODES[channels])


def read_image_size(path: str) -> tuple[int, int]:
    """Reads (height, width) of an image, from the header alone.

    Raises:
        InvalidData: if it cannot be read.
    """
    with _decoding(path) as image:
        width, height = image.size
        turned = image.getexif().get(_ORIENTATION, 1) > 4
        return (width, height) if turned else (height, width)


def open_mask(path: str) -> Image.Image:
    """Decodes an image whose pixels stand for classes, in its own mode.

    It is neither turned nor changed from palette to grey: pixels must keep
    their values.

    Raises:
        InvalidData: if it cannot be read.
    """
    with _decoding(path) as image:
        return image.copy()


def resize(image: Image.Image, size: Sequence[int]) -> np.ndarray:
    """Resizes an image with antialiasing.

    Args:
        image: The image.
        size: (height, width).

    Returns:
        uint8 (height, width, channels).
    """
    if image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    array = np.asarray(image)
    return array if array.ndim == 3 else array[..., np.newaxis]


def parse_colour(text: str) -> tuple[int, ...]:
    """Reads (red, green, blue) from `#rrggbb` or a colour's name.

    Raises:
        ValueError: if it is neither.
    """
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise ValueError(
            "A pixel in quotes must be '#rrggbb' or a colour's name; write "
            f"class numbers without quotes. Received: '{text}'"
        ) from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits in 8: Pillow would show all above 255 as white."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise InvalidData(
            f"pixels of mode {image.mode}, whose white is unknown"
        )
    return Image.fromarray((values >> 8).astype("uint8"))


@contextlib.contextmanager
def _decoding(path: str) -> Iterator[Image.Image]:
    """Opens an image; whatever Pillow raises becomes `InvalidData`."""
    try:
        with warnings.catch_warnings():
            # Scenes of satellites are large; Pillow refuses those of more
            # than twice its limit all the same.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
        with image:
            yield image
    except Exception as error:
        reason = str(error).split("\n")[0]
        if isinstance(error, UnidentifiedImageError):
            reason = "of no format that Pillow knows"
        raise InvalidData(f"cannot be read as an image ({reason})") from error
