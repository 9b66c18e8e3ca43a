"""Recordings in folders, one folder a class.

S samples a recording of fixed length.
"""

import math
import os
import re

import numpy as np

from kd_tf.data.decoding.files import (
    RECORDINGS,
    BadFile,
    classify_files,
    list_files,
    one_a_file,
)
from kd_tf.data.sources.source import ArraySpec, Source

_INT16 = np.iinfo("int16")
# Half the filter of `resample_poly`, in samples of the slower rate.
_FILTER_REACH = 10
_HEADER_BYTES = 64
_LOUDEST = 16  # times full scale; floats beyond are in other units


def audio_folder_source(path, *, sample_rate, seconds, label_pattern=None):
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
    problems = []
    names = list_files(path, RECORDINGS)
    class_names, number_of = classify_files(names, label_pattern, problems)

    def read(name):
        file = os.path.join(path, name)
        samples = _read_middle(file, sample_rate, seconds)
        row = as_recording(samples, length)
        return row[np.newaxis], np.array([number_of[name]])

    return Source(
        class_names=class_names,
        example=ArraySpec((length,), "int16"),
        train=one_a_file(path, list(number_of), read, problems),
        test=None,
        sample_rate=sample_rate,
        problems=problems,
    )


def num_samples(sample_rate, seconds):
    """Samples S of an example.

    Raises:
        ValueError: if that is less than one.
    """
    length = sample_rate * seconds
    if not length >= 1:
        raise ValueError(
            "A recording needs samples. Allowed: data.sample_rate times "
            f"data.seconds of at least 1. Received: {sample_rate} and "
            f"{seconds}"
        )
    return round(length)


def as_recording(samples, length):
    """One example of samples as they were read.

    Args:
        samples: Numbers (n,) or (n, channels) in the range of int16.
        length: Samples S wanted.

    Returns:
        int16 (S,).

    Raises:
        BadFile: if there is nothing to be heard, or samples are no numbers or
            out of range.
    """
    if not len(samples):
        raise BadFile("is empty: it has no samples")
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    row = np.rint(fit_length(samples, length))
    if not np.isfinite(row).all():
        raise BadFile("has samples that are no numbers")
    if row.min() < _INT16.min or row.max() > _INT16.max:
        raise BadFile(
            f"has samples from {row.min():g} to {row.max():g}, beyond int16"
        )
    if not row.any():
        taken = min(len(samples), length)
        raise BadFile(f"is silent: all {taken:,} samples taken are zero")
    return row.astype("int16")


def fit_length(samples, length):
    """The middle of what is longer; what is shorter between zeros."""
    spare = len(samples) - length
    if spare >= 0:
        return samples[spare // 2 : spare // 2 + length]
    before = -spare // 2
    return np.pad(samples, (before, -spare - before))


def _read_middle(path, sample_rate, seconds):
    """Mono samples of a file in the range of int16, at the wanted rate.

    Of a long recording no more than is wanted is read.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate, frames = file.samplerate, file.frames
            wanted = math.ceil(rate * seconds)
            if rate != sample_rate:
                # What the filter smears at the ends is cropped afterwards.
                slower = max(1, math.ceil(rate / sample_rate))
                wanted += 2 * (_FILTER_REACH + 1) * slower
            if frames > wanted:
                file.seek((frames - wanted) // 2)
            samples = file.read(wanted, dtype="float32", always_2d=True)
            _check_whole(file.extra_info)
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", None) or error
        raise BadFile(f"cannot be read as a recording ({reason})") from error
    peak = np.abs(samples).max(initial=0)
    if peak > _LOUDEST:
        raise BadFile(f"reaches {peak:g}, where 1 is full scale")
    samples = samples.mean(axis=1) * 2**15
    if rate != sample_rate and len(samples):
        samples = _resample(samples, rate, sample_rate)
    # Loud resampled peaks reach a little beyond what they were made of.
    return np.clip(samples, _INT16.min, _INT16.max)


def _check_whole(log):
    # libsndfile takes the rest of a truncated wav for the whole, but says so
    # in its log. Writers to a pipe know no length and put 2 or 4 GiB; others
    # count the header in.
    sizes = re.search(r"data\s*: (\d+) \(should be (\d+)\)", log)
    if sizes is None:
        return
    promised, found = map(int, sizes.groups())
    if found + _HEADER_BYTES < promised < 2**31 - 2**16:
        raise BadFile(
            f"is cut off: {found:,} of {promised:,} bytes of samples are there"
        )


def _resample(samples, rate, sample_rate):
    from scipy.signal import resample_poly

    common = math.gcd(rate, sample_rate)
    return resample_poly(samples, sample_rate // common, rate // common)
