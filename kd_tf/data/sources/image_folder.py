"""Images in folders, one folder a class."""

import os

import numpy as np

from kd_tf.data.decoding.files import (
    IMAGES,
    classify_files,
    list_files,
    one_a_file,
)
from kd_tf.data.decoding.images import open_image, resize
from kd_tf.data.sources.source import ArraySpec, Source


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

    def read(name):
        image = open_image(os.path.join(path, name), channels)
        pixels = resize(image, image_size)
        return pixels[np.newaxis], np.array([number_of[name]])

    return Source(
        class_names=class_names,
        example=ArraySpec((*image_size, channels), "uint8"),
        train=one_a_file(path, list(number_of), read, problems),
        test=None,
        problems=problems,
    )
