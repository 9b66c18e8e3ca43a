import numpy as np
import pytest
from PIL import Image

from kd_tf.data.decoding.masks import MaskDecoder
from kd_tf.data.sources.source import InvalidData

REFUSED = {
    "two kinds of pixels": ({"a": "#000000", "b": 1}, (), "Received: 1"),
    "none": ({}, (), "`classes` must map names of classes to pixels"),
    "number too large": ({"a": 0, "b": 256}, (), "Received: 256"),
    "same pixel twice": ({"a": "#ff0000", "b": "red"}, (), "the same pixel"),
    "ignored of another kind": ({"a": 0, "b": 1}, ["#ffffff"], "#ffffff"),
    "class ignored": ({"a": 0, "b": 1}, [1], "both a class and ignored"),
    "no colour": (
        {"a": "#000000", "b": "rot"},
        (),
        "must be '#rrggbb' or a colour's name; .*Received: 'rot'",
    ),
}


@pytest.mark.parametrize(
    ("classes", "ignored", "message"), REFUSED.values(), ids=REFUSED
)
def test_classes_that_cannot_be_are_refused(classes, ignored, message):
    with pytest.raises(ValueError, match=message):
        MaskDecoder(classes, ignored)


def test_only_the_first_unknown_pixels_are_listed():
    decode = MaskDecoder({"a": 0, "b": 1}, ())
    mask = Image.fromarray(np.arange(16, dtype="uint8").reshape(4, 4))
    with pytest.raises(InvalidData) as caught:
        decode(mask, "masks/a.png")
    reason = str(caught.value)
    assert reason.endswith("6 in 1 pixels and 9 more")
    assert "numbers not among the classes: 2 in 1 pixels, 3" in reason


def test_tall_masks_are_decoded_to_their_last_row():
    # Strip by strip, and unknown pixels are counted over all of them.
    numbers = np.random.default_rng(0).integers(0, 2, (600, 3), dtype="uint8")
    decode = MaskDecoder({"a": 0, "b": 1}, ())
    mask = decode(Image.fromarray(numbers), "a.png")
    np.testing.assert_array_equal(mask, numbers)
    numbers[[5, 300, 599], 1] = 7
    with pytest.raises(InvalidData, match=r"classes: 7 in 3 pixels$"):
        decode(Image.fromarray(numbers), "a.png")
