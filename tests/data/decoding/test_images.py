import numpy as np
import pytest
from PIL import Image

from kd_tf.data.decoding.images import open_image, read_image_size
from kd_tf.data.sources.source import InvalidData
from tests.data.hand_made import palette_image, save, turned

RED, BLUE = [200, 0, 0], [0, 0, 200]
KINDS = {
    "grey": ({"pixels": [[0, 99]]}, [[[0] * 3, [99] * 3]]),
    "colour": ({"pixels": [[RED, BLUE]]}, [[RED, BLUE]]),
    "see-through": ({"pixels": [[[*RED, 9], [*BLUE, 255]]]}, [[RED, BLUE]]),
    "palette": (
        {"pixels": palette_image([[1, 0]], [RED, BLUE])},
        [[BLUE, RED]],
    ),
    "black and white": (
        {"pixels": Image.fromarray(np.array([[False, True]]))},
        [[[0] * 3, [255] * 3]],
    ),
    "16 bits": (
        {"pixels": Image.fromarray(np.array([[256, 65535]], "uint16"))},
        [[[1] * 3, [255] * 3]],
    ),
    "turned by a note": (
        turned([[10, 20, 30]]),
        [[[i] * 3] for i in (10, 20, 30)],
    ),
}


@pytest.mark.parametrize(("file", "pixels"), KINDS.values(), ids=KINDS)
def test_kinds_of_images(tmp_path, file, pixels):
    path = save(tmp_path / "a.png", **file)
    image = open_image(path, 3)
    np.testing.assert_array_equal(np.asarray(image), pixels)
    assert np.asarray(open_image(path, 1)).shape == image.size[::-1]
    assert read_image_size(path) == image.size[::-1]


@pytest.mark.parametrize("values", [[[-1.0, 0.5]], [[0, 70_000]]])
def test_pixels_of_unknown_range_are_refused(tmp_path, values):
    dtype = "int32" if isinstance(values[0][0], int) else "float32"
    image = Image.fromarray(np.array(values, dtype))
    image.save(tmp_path / "a.tif")
    with pytest.raises(InvalidData, match="whose white is unknown"):
        open_image(tmp_path / "a.tif", 3)
