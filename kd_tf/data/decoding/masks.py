"""Masks: images whose pixels stand for classes."""

import collections

import numpy as np
from PIL import Image

from kd_tf.data.decoding.files import BadFile
from kd_tf.data.decoding.images import parse_colour
from kd_tf.tasks import IGNORED

_COLOURS_TOLD = 5
_STRIP = 256  # rows of a mask that are decoded together


class MaskDecoder:
    """Masks as they lie on disk -> class numbers.

    Args:
        classes: {name: pixel of the mask}: a colour such as `#3C1098`, or a
            whole number from 0 to 255, for masks of class indices.
        ignored: Pixels of masks that become `IGNORED`.

    Raises:
        ValueError: if classes and ignored pixels are no colours or numbers.
    """

    def __init__(self, classes, ignored):
        if not classes:
            raise ValueError(
                "Masks have no classes. Allowed: data.classes, {name: pixel "
                f"of the mask}}. Received: {classes}"
            )
        self._is_colour = isinstance(next(iter(classes.values())), str)
        numbers = enumerate(classes.values())
        self._number_of = {self._key(pixel): n for n, pixel in numbers}
        if len(self._number_of) < len(classes):
            raise ValueError(
                "Two classes have the same pixel. Allowed: one colour or "
                f"number a class. Received: {classes}"
            )
        for pixel in ignored:
            if self._number_of.setdefault(self._key(pixel), IGNORED) != IGNORED:
                raise ValueError(
                    "A pixel is both a class and ignored. Allowed: ignored "
                    f"pixels that no class has. Received: {pixel!r}"
                )

    @property
    def palette(self):
        """Colours of the classes, or None if they are numbers."""
        if not self._is_colour:
            return None
        return [
            (key >> 16, key >> 8 & 255, key & 255)
            for key, number in self._number_of.items()
            if number != IGNORED
        ]

    def __call__(self, mask, name):
        """Class numbers of a mask.

        Args:
            mask: `PIL.Image.Image`.
            name: What to call it where it is bad.

        Returns:
            uint8 (height, width).

        Raises:
            BadFile: if it has pixels that stand for nothing.
        """
        width, height = mask.size
        numbers = np.zeros((height, width), "uint8")
        unknown = collections.Counter()
        # A whole scene would take a dozen times its bytes.
        for top in range(0, height, _STRIP):
            strip = mask.crop((0, top, width, min(top + _STRIP, height)))
            numbers[top : top + _STRIP] = self._decode(strip, unknown)
        if unknown:
            raise BadFile(f"its mask {name} has {self._tell(unknown)}")
        return numbers

    def _decode(self, mask, unknown):
        """Class numbers; pixels that stand for nothing go to `unknown`."""
        keys = self._keys(mask)
        numbers = np.zeros(keys.shape, "uint8")
        is_known = np.zeros(keys.shape, bool)
        for key, number in self._number_of.items():
            here = keys == key
            numbers[here] = number
            is_known |= here
        found, counts = np.unique(keys[~is_known], return_counts=True)
        unknown.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        return numbers

    def _key(self, pixel):
        if isinstance(pixel, str) != self._is_colour or (
            not self._is_colour and not 0 <= pixel <= 255
        ):
            raise ValueError(
                "Pixels of masks are of one kind. Allowed: all colours, such "
                "as '#3C1098', or all numbers from 0 to 255. Received: "
                f"{pixel!r}"
            )
        if not self._is_colour:
            return pixel
        red, green, blue = parse_colour(pixel)
        return red << 16 | green << 8 | blue

    def _keys(self, mask):
        if not self._is_colour:
            keys = np.asarray(mask)
            return keys if keys.ndim == 2 else keys[..., 0]
        # A PNG with a palette of its own shows the same colours.
        rgb = np.asarray(mask.convert("RGB"), dtype="int32")
        return rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]

    def _tell(self, unknown):
        told = [
            f"{self._write(key)} in {count:,} pixels"
            for key, count in unknown.most_common(_COLOURS_TOLD)
        ]
        more = len(unknown) - len(told)
        return (
            ("colours" if self._is_colour else "numbers")
            + f" not among the classes: {', '.join(told)}"
            + (f" and {more} more" if more else "")
        )

    def _write(self, key):
        return f"#{key:06X}" if self._is_colour else str(key)


def shrink_mask(mask, size):
    """uint8 array (height, width) of an image of class numbers, resized.

    By the nearest pixel: between two classes lies none.
    """
    size = (size[1], size[0])
    return np.asarray(mask.resize(size, Image.Resampling.NEAREST))
