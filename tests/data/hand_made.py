"""What tests of data share: image files made by hand, sources read whole."""

import numpy as np
from PIL import Image

from kd_tf.data.splitting.assignment import SplitSettings
from kd_tf.data.splitting.splits import SPLITS, Split, write_splits

COLOURS = np.array([[255, 0, 0], [0, 0, 255], [155, 155, 155]], "uint8")


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels
    if not isinstance(pixels, Image.Image):
        image = Image.fromarray(np.asarray(pixels, "uint8"))
    image.save(path, **options)
    return path


def noise(height, width, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype="uint8")


def palette_image(indices, colours):
    image = Image.fromarray(np.asarray(indices, "uint8"), "P")
    image.putpalette([value for colour in colours for value in colour])
    return image


def turned(pixels):
    """Arguments of `save` for an image to be shown a quarter clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"pixels": Image.fromarray(np.uint8(pixels)), "exif": exif}


def colours(numbers):
    """A mask of colours."""
    return COLOURS[numbers]


def indices(numbers):
    """A mask of class indices."""
    return np.asarray(numbers, "uint8")


def read(examples):
    """{number of an example: (example, target)}."""
    return {
        int(number): (example, target)
        for numbers, x, y in examples.chunks()
        for number, example, target in zip(numbers, x, y, strict=True)
    }


def write(source, folder, settings=None, seed=0, **options):
    """Writes splits to a folder, which may be new: (record, {name: Split})."""
    folder.mkdir(exist_ok=True)
    settings = settings or SplitSettings(0.25, 0.25)
    record = write_splits(
        source, str(folder), settings=settings, seed=seed, **options
    )
    return record, {name: Split.in_folder(folder, name) for name in SPLITS}


def listed(error):
    """Lines of problems in a message."""
    return str(error.value).splitlines()[1:]


def read_all(examples):
    """Examples and targets of a source that leaves nothing out."""
    numbers, x, y = zip(*examples.chunks(), strict=True)
    np.testing.assert_array_equal(
        np.concatenate(numbers), np.arange(examples.count)
    )
    return np.concatenate(x), np.concatenate(y)
