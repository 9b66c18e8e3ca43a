"""Images in folders, one folder a class."""

import functools
import os

import numpy as np

from kd_tf.data.files import (
    IMAGES,
    classify_files,
    list_files,
    read_in_order,
)
from kd_tf.data.images import open_image, resize
from kd_tf.data.sources import Examples, Rows, Source


def image_folder_source(path, *, image_size, channels=3, label_pattern=None):
    """Reads images whose class is the folder they lie in.

    Args:
        path: The folder; how deep the class folders lie does not matter.
        image_size: (height, width) that images are resized to.
        channels: 1 for grey, 3 for colour.
        label_pattern: Regular expression with one group that finds the class
            in a path below `path`, instead of its last folder.

    Returns:
        `Source` without a test part of its own.

    Raises:
        ValueError: if there are no images, or fewer than 2 classes.
    """
    problems = []
    names = list_files(path, IMAGES)
    class_names, number_of = classify_files(names, label_pattern, problems)
    names = list(number_of)

    def read(name):
        image = open_image(os.path.join(path, name), channels)
        pixels = resize(image, image_size)
        return pixels[np.newaxis], np.array([number_of[name]])

    return Source(
        class_names=class_names,
        example=Rows((*image_size, channels), "uint8"),
        train=Examples(
            len(names),
            functools.partial(
                read_in_order, names, [1] * len(names), read, problems
            ),
            names,
            path,
        ),
        test=None,
        problems=problems,
    )
