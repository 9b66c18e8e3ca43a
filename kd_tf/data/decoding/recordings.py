"""Decoding of recordings to one rate and one length.

S samples an example; n samples as they were read.
"""

import math
import os
import re

import numpy as np

from kd_tf.data.sources.source import InvalidData

_INT16 = np.iinfo("int16")
# Half the filter of `resample_poly`, in samples of the slower rate.
_FILTER_REACH = 10
_HEADER_BYTES = 64
_LOUDEST = 16  # times full scale; floats beyond are in other units


def num_samples(sample_rate: int, seconds: float) -> int:
    """Computes the samples S of an example.

    Raises:
        ValueError: if that is less than one.
    """
    length = sample_rate * seconds
    if not length >= 1:
        raise ValueError(
            "`sample_rate` times `seconds` must be at least 1, so that an "
            f"example has a sample. Received: sample_rate={sample_rate}, "
            f"seconds={seconds}"
        )
    return round(length)


def read_recording(
    path: str | os.PathLike[str], *, sample_rate: int, seconds: float
) -> np.ndarray:
    """Reads the middle of a recording, mixed to one channel.

    No more than is needed is read of a long recording.

    Args:
        path: File of any kind that libsndfile reads.
        sample_rate: Rate to resample to, in hertz.
        seconds: Length of an example.

    Returns:
        Float (n,) in the range of int16; n is S, a little more, or less.

    Raises:
        InvalidData: if the file cannot be read, or not to its end.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate, frames = file.samplerate, file.frames
            needed = _frames_needed(rate, sample_rate, seconds)
            if frames > needed:
                file.seek((frames - needed) // 2)
            samples = file.read(needed, dtype="float32", always_2d=True)
            _check_whole(file.extra_info)
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", None) or error
        raise InvalidData(
            f"cannot be read as a recording ({reason})"
        ) from error
    peak = np.abs(samples).max(initial=0)
    if peak > _LOUDEST:
        raise InvalidData(f"reaches {peak:g}, where 1 is full scale")
    samples = samples.mean(axis=1) * 2**15
    if rate != sample_rate and len(samples):
        samples = _resample(samples, rate, sample_rate)
    # Loud resampled peaks reach a little beyond what they were made of.
    return np.clip(samples, _INT16.min, _INT16.max)


def as_recording(samples: np.ndarray, length: int) -> np.ndarray:
    """Makes one example of samples as they were read.

    Args:
        samples: Numbers (n,) or (n, channels) in the range of int16.
        length: Samples S of an example.

    Returns:
        int16 (S,).

    Raises:
        InvalidData: if it is empty or silent, or samples are not finite or
            out of range.
    """
    if not len(samples):
        raise InvalidData("is empty: it has no samples")
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    row = np.rint(fit_length(samples, length))
    if not np.isfinite(row).all():
        raise InvalidData("has samples that are NaN or infinite")
    if row.min() < _INT16.min or row.max() > _INT16.max:
        raise InvalidData(
            f"has samples from {row.min():g} to {row.max():g}, beyond int16"
        )
    if not row.any():
        taken = min(len(samples), length)
        raise InvalidData(f"is silent: all {taken:,} samples taken are zero")
    return row.astype("int16")


def fit_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Crops samples (n,) to their middle, or pads both ends with zeros.

    Returns:
        Array (length,).
    """
    spare = len(samples) - length
    if spare >= 0:
        return samples[spare // 2 : spare // 2 + length]
    before = -spare // 2
    return np.pad(samples, (before, -spare - before))


def _frames_needed(rate: int, sample_rate: int, seconds: float) -> int:
    frames = math.ceil(rate * seconds)
    if rate != sample_rate:
        # What the filter smears at the ends is cropped afterwards.
        slower = max(1, math.ceil(rate / sample_rate))
        frames += 2 * (_FILTER_REACH + 1) * slower
    return frames


def _check_whole(log: str) -> None:
    # libsndfile takes the rest of a truncated wav for the whole, but says so
    # in its log. Writers to a pipe know no length and put 2 or 4 GiB; others
    # count the header in.
    sizes = re.search(r"data\s*: (\d+) \(should be (\d+)\)", log)
    if sizes is None:
        return
    promised, present = map(int, sizes.groups())
    if present + _HEADER_BYTES < promised < 2**31 - 2**16:
        raise InvalidData(
            f"is truncated: it has {present:,} of {promised:,} bytes of samples"
        )


def _resample(samples: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    from scipy.signal import resample_poly

    common = math.gcd(rate, sample_rate)
    return resample_poly(samples, sample_rate // common, rate // common)
