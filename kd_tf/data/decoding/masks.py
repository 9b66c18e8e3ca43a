"""Masks: images whose pixels stand for classes."""

import collections
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from kd_tf.data.decoding.images import parse_colour
from kd_tf.data.sources.source import InvalidData
from kd_tf.tasks.task import IGNORED

_PIXELS_LISTED = 5
_STRIP = 256  # rows of a mask that are decoded together


class MaskDecoder:
    """Decodes masks from their pixels to class numbers.

    Args:
        classes: {name: pixel of the mask}: a colour such as `#3C1098`, or a
            whole number from 0 to 255, for masks of class indices.
        ignored: Pixels of masks that become `IGNORED`.

    Raises:
        ValueError: if there are no classes, or pixels are not colours or
            numbers, each with one meaning.
    """

    def __init__(
        self,
        classes: Mapping[str, str | int] | None,
        ignored: Sequence[str | int] = (),
    ) -> None:
        """Reads what every pixel stands for."""
        if not classes:
            raise ValueError(
                "`classes` must map names of classes to pixels of the masks. "
                f"Received: classes={classes}"
            )
        self._is_colour = isinstance(next(iter(classes.values())), str)
        numbers = enumerate(classes.values())
        self._number_of = {self._key(pixel): n for n, pixel in numbers}
        if len(self._number_of) < len(classes):
            raise ValueError(
                "Two classes have the same pixel; give each one of its own. "
                f"Received: classes={classes}"
            )
        for pixel in ignored:
            if self._number_of.setdefault(self._key(pixel), IGNORED) != IGNORED:
                raise ValueError(
                    "A pixel is both a class and ignored; remove it from "
                    f"`classes` or from `ignored`. Received: {pixel!r}"
                )

    @property
    def palette(self) -> list[tuple[int, int, int]] | None:
        """Colours of the classes, or None if they are numbers."""
        if not self._is_colour:
            return None
        return [
            (key >> 16, key >> 8 & 255, key & 255)
            for key, number in self._number_of.items()
            if number != IGNORED
        ]

    def __call__(self, mask: Image.Image, name: str) -> np.ndarray:
        """Returns the class numbers of a mask, uint8 (height, width).

        Args:
            mask: The mask as it is on disk.
            name: What to call it in a message.

        Raises:
            InvalidData: if it has pixels that stand for nothing.
        """
        width, height = mask.size
        numbers = np.zeros((height, width), "uint8")
        unknown: collections.Counter[int] = collections.Counter()
        # A whole scene would take a dozen times its bytes.
        for top in range(0, height, _STRIP):
            strip = mask.crop((0, top, width, min(top + _STRIP, height)))
            numbers[top : top + _STRIP] = self._decode(strip, unknown)
        if unknown:
            raise InvalidData(f"its mask {name} has {self._list(unknown)}")
        return numbers

    def _decode(
        self, mask: Image.Image, unknown: collections.Counter[int]
    ) -> np.ndarray:
        """Class numbers; pixels that stand for nothing go to `unknown`."""
        keys = self._keys(mask)
        numbers = np.zeros(keys.shape, "uint8")
        is_known = np.zeros(keys.shape, bool)
        for key, number in self._number_of.items():
            here = keys == key
            numbers[here] = number
            is_known |= here
        rest, counts = np.unique(keys[~is_known], return_counts=True)
        unknown.update(dict(zip(rest.tolist(), counts.tolist(), strict=True)))
        return numbers

    def _key(self, pixel: str | int) -> int:
        """A pixel as one number, that of a colour is 0xRRGGBB."""
        if isinstance(pixel, str):
            if self._is_colour:
                red, green, blue = parse_colour(pixel)
                return red << 16 | green << 8 | blue
        elif not self._is_colour and 0 <= pixel <= 255:
            return pixel
        raise ValueError(
            "Pixels of masks must be all colours, such as '#3C1098', or all "
            f"whole numbers from 0 to 255. Received: {pixel!r}"
        )

    def _keys(self, mask: Image.Image) -> np.ndarray:
        if not self._is_colour:
            keys = np.asarray(mask)
            return keys if keys.ndim == 2 else keys[..., 0]
        # A PNG with a palette of its own shows the same colours.
        rgb = np.asarray(mask.convert("RGB"), dtype="int32")
        return rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]

    def _list(self, unknown: collections.Counter[int]) -> str:
        most = unknown.most_common(_PIXELS_LISTED)
        pixels = ", ".join(
            f"{self._write(key)} in {count:,} pixels" for key, count in most
        )
        kind = "colours" if self._is_colour else "numbers"
        more = len(unknown) - len(most)
        rest = f" and {more} more" if more else ""
        return f"{kind} not among the classes: {pixels}{rest}"

    def _write(self, key: int) -> str:
        return f"#{key:06X}" if self._is_colour else str(key)


def resize_mask(mask: Image.Image, size: Sequence[int]) -> np.ndarray:
    """Resizes class numbers by the nearest pixel: classes do not mix.

    Args:
        mask: Image of class numbers.
        size: (height, width).

    Returns:
        uint8 (height, width).
    """
    shape = (size[1], size[0])
    return np.asarray(mask.resize(shape, Image.Resampling.NEAREST))
