"""Recordings in folders, one folder for each class.

S samples a recording of fixed length.
"""

import os

import numpy as np

from kd_tf.data.decoding.files import (
    RECORDINGS,
    classify_files,
    list_files,
    one_example_per_file,
)
from kd_tf.data.decoding.recordings import (
    as_recording,
    num_samples,
    read_recording,
)
from kd_tf.data.sources.source import ArraySpec, Problems, Source
from kd_tf.ranges import Count, Path, Pattern, Positive


def audio_folder_source(
    path: Path,
    *,
    sample_rate: Count,
    seconds: Positive,
    label_pattern: Pattern | None = None,
) -> Source:
    """Reads recordings whose class is the folder they lie in.

    Channels are mixed to one, other rates are resampled. Of a recording that
    is longer the middle is taken; a shorter one gets silence on both sides.

    Args:
        path: The folder; how deep the class folders lie does not matter.
        sample_rate: Samples a second of every example, in hertz.
        seconds: Length of every example.
        label_pattern: Regular expression with one group that finds the class
            in a path below `path`, instead of its last folder.

    Returns:
        `Source` of int16 (S,) without a test part of its own.

    Raises:
        ValueError: if there are no recordings, fewer than 2 classes, or no
            sample in an example.
    """
    length = num_samples(sample_rate, seconds)
    problems: Problems = []
    files = list_files(path, RECORDINGS)
    class_names, number_of = classify_files(
        files, label_pattern, problems=problems
    )

    def read(name: str) -> tuple[np.ndarray, np.ndarray]:
        samples = read_recording(
            os.path.join(path, name), sample_rate=sample_rate, seconds=seconds
        )
        row = as_recording(samples, length)
        return row[np.newaxis], np.array([number_of[name]])

    return Source(
        class_names=class_names,
        example=ArraySpec((length,), "int16"),
        train=one_example_per_file(
            path, list(number_of), read=read, problems=problems
        ),
        test=None,
        sample_rate=sample_rate,
        problems=problems,
    )
