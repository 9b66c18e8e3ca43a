import numpy as np
import pytest
import soundfile

from kd_tf.data.decoding import recordings
from kd_tf.data.decoding.recordings import (
    as_recording,
    fit_length,
    num_samples,
    read_recording,
)
from kd_tf.data.sources.source import InvalidData


def ramp(count, start=1):
    return np.arange(start, start + count, dtype="int16")


def tone(rate, seconds, hertz=50):
    time = np.arange(round(rate * seconds)) / rate
    return np.round(8000 * np.sin(2 * np.pi * hertz * time)).astype("int16")


@pytest.fixture
def decode(tmp_path):
    """Function writing samples to a file and decoding that."""

    def through_a_file(
        samples, seconds, rate=100, to_rate=100, name="x.wav", **options
    ):
        path = tmp_path / name
        soundfile.write(path, samples, rate, **options)
        read = read_recording(path, sample_rate=to_rate, seconds=seconds)
        return as_recording(read, num_samples(to_rate, seconds))

    return through_a_file


FITTED = {
    "as long": (3, [1, 2, 3]),
    "cropped on both sides": (7, [3, 4, 5]),
    "cropped, one more behind": (6, [2, 3, 4]),
    "zeros on both sides": (1, [0, 1, 0]),
    "zeros, one more behind": (2, [1, 2, 0]),
}


@pytest.mark.parametrize(("count", "fitted"), FITTED.values(), ids=FITTED)
def test_length_is_fitted_around_the_middle(decode, count, fitted):
    assert fit_length(ramp(count), 3).tolist() == fitted
    assert decode(ramp(count), 0.03).tolist() == fitted


def test_channels_are_mixed(decode):
    stereo = np.stack([ramp(5, 100), ramp(5, 200)], axis=1)
    samples = decode(stereo, 0.05, name="x.flac")
    assert samples.tolist() == [150, 151, 152, 153, 154]
    assert as_recording(stereo, 5).tolist() == [150, 151, 152, 153, 154]


KINDS = {
    "8 bits": ("PCM_U8", 256),
    "24 bits": ("PCM_24", 1),
    "32 bits": ("PCM_32", 1),
    "floats": ("FLOAT", 1),
}


@pytest.mark.parametrize(("subtype", "step"), KINDS.values(), ids=KINDS)
def test_samples_of_any_kind_become_int16(decode, subtype, step):
    samples = np.array([0, 5120, -5120, 25600, -32768], "int16")
    # Handed over as floats: of integers libsndfile keeps the numbers.
    decoded = decode(samples / 2**15, 0.05, subtype=subtype)
    assert decoded.dtype == np.int16
    np.testing.assert_allclose(decoded, samples, atol=step / 2)


def test_floats_that_are_too_loud_are_clipped(decode):
    samples = decode([1.5, -2.0, 0.5], 0.03, subtype="FLOAT")
    assert samples.tolist() == [32767, -32768, 16384]


@pytest.mark.parametrize("rate", [4000, 11025, 16000])
def test_other_rates_are_resampled(decode, rate):
    samples = decode(tone(rate, 0.5), 0.5, rate, 8000)
    inside = slice(200, -200)
    np.testing.assert_allclose(
        samples[inside], tone(8000, 0.5)[inside], atol=80
    )


def test_of_a_long_recording_the_middle_alone_is_read(decode, monkeypatch):
    # 60 s, silent but for a tone from second 29.5 to 30.5.
    long = np.zeros(60 * 16000, "int16")
    long[472_000:488_000] = tone(16000, 1.0, hertz=63)
    counts = []
    resample = recordings._resample

    def counted(samples, *rates):
        counts.append(len(samples))
        return resample(samples, *rates)

    monkeypatch.setattr(recordings, "_resample", counted)
    samples = decode(long, 0.5, 16000, 8000, name="x.flac")
    # The middle half of the tone, loudest at its ends.
    middle = tone(8000, 1.0, hertz=63)[2000:6000]
    np.testing.assert_allclose(samples, middle, atol=80)
    assert max(counts) < 0.51 * 16000


def test_samples_beyond_int16_are_refused():
    with pytest.raises(InvalidData, match="from 1 to 70000, beyond int16"):
        as_recording(np.array([1, 70_000]), 2)


@pytest.mark.parametrize("seconds", [0.001, 0, -1, float("nan")])
def test_no_samples_at_all_are_refused(seconds):
    with pytest.raises(ValueError, match=r"must be at least 1.*seconds="):
        num_samples(100, seconds)
