"""Images in folders, one folder for each class."""

import os
from typing import Literal

import numpy as np

from kd_tf.data.decoding.files import (
    IMAGES,
    classify_files,
    list_files,
    one_example_per_file,
)
from kd_tf.data.decoding.images import open_image, resize
from kd_tf.data.sources.source import ArraySpec, Problems, Source
from kd_tf.ranges import ImageSize, Path, Pattern


def image_folder_source(
    path: Path,
    *,
    image_size: ImageSize,
    channels: Literal[1, 3] = 3,
    label_pattern: Pattern | None = None,
) -> Source:
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
    problems: Problems = []
    files = list_files(path, IMAGES)
    class_names, number_of = classify_files(
        files, label_pattern, problems=problems
    )

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        image = open_image(os.path.join(path, name), channels)
        pixels = resize(image, image_size)
        return pixels[np.newaxis], np.array([number_of[name]])

    return Source(
        class_names=class_names,
        example=ArraySpec((*image_size, channels), "uint8"),
        train=one_example_per_file(
            path, list(number_of), read=read, problems=problems
        ),
        test=None,
        problems=problems,
    )
