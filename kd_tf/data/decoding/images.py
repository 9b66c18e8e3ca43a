"""Decoding and resizing of image files, by Pillow."""

import warnings

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from kd_tf.data.decoding.files import BadFile

_MODES = {1: "L", 3: "RGB"}


def open_image(path, channels):
    """The pixels of a file as they are meant to be seen.

    Args:
        path: Image file of any kind that Pillow reads.
        channels: 1 for grey, 3 for colour.

    Returns:
        `PIL.Image.Image`.

    Raises:
        BadFile: if it cannot be read.
    """
    with _decoding(path) as image:
        # Cameras turn the picture by a note, not by its pixels.
        turned = ImageOps.exif_transpose(image)
        return _eight_bits(turned).convert(_MODES[channels])


def image_size(path):
    """(height, width), from the header alone.

    Raises:
        BadFile: if it cannot be read.
    """
    with _decoding(path) as image:
        turned = image.getexif().get(0x0112, 1) > 4
        return image.size if turned else image.size[::-1]


def open_mask(path):
    """An image whose pixels stand for classes: never interpolated or turned
    from palette to grey.

    Returns:
        `PIL.Image.Image` of its own mode.

    Raises:
        BadFile: if it cannot be read.
    """
    with _decoding(path) as image:
        return image.copy()


def resize(image, size):
    """uint8 array (height, width, channels) of an image, without aliases."""
    if image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return as_array(image)


def as_array(image):
    """uint8 array (height, width, channels)."""
    array = np.asarray(image)
    return array if array.ndim == 3 else array[..., np.newaxis]


def parse_colour(text):
    """(red, green, blue) of `#rrggbb` or a colour's name.

    Raises:
        ValueError: if it is neither.
    """
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise ValueError(
            "A pixel is no colour. Allowed: '#rrggbb' or a colour's name; "
            f"class numbers without quotes. Received: '{text}'"
        ) from error


def _eight_bits(image):
    """Grey of 16 bits in 8: Pillow would show all above 255 as white."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise BadFile(f"its white is unknown: pixels of mode {image.mode}")
    return Image.fromarray((values >> 8).astype("uint8"))


class _decoding:
    """Pillow's many errors are one: the file is bad."""

    def __init__(self, path):
        self._path = path

    def __enter__(self):
        try:
            with warnings.catch_warnings():
                # Scenes of satellites are large; Pillow refuses those of more
                # than twice its limit all the same.
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                self._image = Image.open(self._path)
        except Exception as error:
            raise _unreadable(error) from error
        return self._image

    def __exit__(self, kind, error, trace):
        self._image.close()
        if isinstance(error, Exception):
            raise _unreadable(error) from error


def _unreadable(error):
    reason = str(error).split("\n")[0]
    if isinstance(error, UnidentifiedImageError):
        reason = "of no format that Pillow knows"
    return BadFile(f"cannot be read as an image ({reason})")
