import os

import numpy as np
import pytest
import soundfile

from kd_tf.data.decoding.files import BadFile
from kd_tf.data.sources import audio_folder
from kd_tf.data.sources.audio_folder import (
    as_recording,
    audio_folder_source,
    fit_length,
)
from kd_tf.data.splitting.assignment import SplitSettings
from kd_tf.data.splitting.splits import SPLITS, Split, write_splits


def save(path, samples, rate=100, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)


def ramp(count, start=1):
    return np.arange(start, start + count, dtype="int16")


def tone(rate, seconds, hertz=50):
    time = np.arange(round(rate * seconds)) / rate
    return np.round(8000 * np.sin(2 * np.pi * hertz * time)).astype("int16")


@pytest.fixture
def digits(tmp_path):
    """Three zeros and three ones of six speakers, as wav and flac."""
    for i in range(6):
        ending = ("wav", "flac")[i % 2]
        save(tmp_path / str(i // 3) / f"{i // 3}_{i}.{ending}", ramp(9, 10 * i))
    return tmp_path


def read(source):
    """{name: (samples, class number)}."""
    return {
        source.train.names[number]: (samples, int(label))
        for numbers, x, y in source.train.chunks()
        for number, samples, label in zip(numbers, x, y, strict=True)
    }


def test_recordings_are_read_as_written(digits):
    source = audio_folder_source(digits, sample_rate=100, seconds=0.09)
    found = read(source)
    assert source.class_names == ["0", "1"]
    assert (source.sample_rate, source.task) == (100, "classification")
    assert (source.example.shape, source.example.dtype) == ((9,), "int16")
    assert source.train.count == len(found) == 6
    for name, (samples, label) in found.items():
        number = int(name[4])
        assert label == number // 3 == int(name[0])
        assert samples.dtype == np.int16
        assert samples.tolist() == list(range(10 * number, 10 * number + 9))


def test_class_is_what_the_pattern_finds(digits):
    source = audio_folder_source(
        digits, sample_rate=100, seconds=0.05, label_pattern=r"_(\d)\."
    )
    assert source.class_names == list("012345")
    assert sorted(y for _, y in read(source).values()) == list(range(6))


FITTED = {
    "as long": (3, [1, 2, 3]),
    "cropped on both sides": (7, [3, 4, 5]),
    "cropped, one more behind": (6, [2, 3, 4]),
    "zeros on both sides": (1, [0, 1, 0]),
    "zeros, one more behind": (2, [1, 2, 0]),
}


@pytest.mark.parametrize(("count", "fitted"), FITTED.values(), ids=FITTED)
def test_length_is_fitted_around_the_middle(tmp_path, count, fitted):
    assert fit_length(ramp(count), 3).tolist() == fitted
    for name in "ab":
        save(tmp_path / name / "x.wav", ramp(count))
    source = audio_folder_source(tmp_path, sample_rate=100, seconds=0.03)
    assert [x.tolist() for x, _ in read(source).values()] == [fitted] * 2


def test_channels_are_mixed(tmp_path):
    stereo = np.stack([ramp(5, 100), ramp(5, 200)], axis=1)
    for name in "ab":
        save(tmp_path / name / "x.flac", stereo)
    source = audio_folder_source(tmp_path, sample_rate=100, seconds=0.05)
    for samples, _ in read(source).values():
        assert samples.tolist() == [150, 151, 152, 153, 154]


KINDS = {
    "8 bits": ("PCM_U8", 256),
    "24 bits": ("PCM_24", 1),
    "32 bits": ("PCM_32", 1),
    "floats": ("FLOAT", 1),
}


@pytest.mark.parametrize(("subtype", "step"), KINDS.values(), ids=KINDS)
def test_samples_of_any_kind_become_int16(tmp_path, subtype, step):
    samples = np.array([0, 5120, -5120, 25600, -32768], "int16")
    for name in "ab":
        # Handed over as floats: of integers libsndfile keeps the numbers.
        save(tmp_path / name / "x.wav", samples / 2**15, subtype=subtype)
    source = audio_folder_source(tmp_path, sample_rate=100, seconds=0.05)
    for found, _ in read(source).values():
        np.testing.assert_allclose(found, samples, atol=step / 2)


def test_floats_that_are_too_loud_are_clipped(tmp_path):
    for name in "ab":
        save(tmp_path / name / "x.wav", [1.5, -2.0, 0.5], subtype="FLOAT")
    source = audio_folder_source(tmp_path, sample_rate=100, seconds=0.03)
    for found, _ in read(source).values():
        assert found.tolist() == [32767, -32768, 16384]


@pytest.mark.parametrize("rate", [4000, 11025, 16000])
def test_other_rates_are_resampled(tmp_path, rate):
    for name in "ab":
        save(tmp_path / name / "x.wav", tone(rate, 0.5), rate)
    source = audio_folder_source(tmp_path, sample_rate=8000, seconds=0.5)
    for found, _ in read(source).values():
        inside = slice(200, -200)
        np.testing.assert_allclose(
            found[inside], tone(8000, 0.5)[inside], atol=80
        )


def test_of_a_long_recording_the_middle_alone_is_read(tmp_path, monkeypatch):
    # 60 s, silent but for a tone from second 29.5 to 30.5.
    long = np.zeros(60 * 16000, "int16")
    long[472_000:488_000] = tone(16000, 1.0, hertz=63)
    for name in "ab":
        save(tmp_path / name / "x.flac", long, 16000)
    counts = []
    resample = audio_folder._resample

    def counted(samples, *rates):
        counts.append(len(samples))
        return resample(samples, *rates)

    monkeypatch.setattr(audio_folder, "_resample", counted)
    source = audio_folder_source(tmp_path, sample_rate=8000, seconds=0.5)
    for found, _ in read(source).values():
        # The middle half of the tone, loudest where it is cut.
        middle = tone(8000, 1.0, hertz=63)[2000:6000]
        np.testing.assert_allclose(found, middle, atol=80)
    assert max(counts) < 0.51 * 16000


def bad_recordings(folder):
    """{name: why} of one file of every bad kind, besides six good ones."""
    whole = folder / "whole.wav"
    save(whole, ramp(500), 100)
    flac = folder / "whole.flac"
    save(flac, np.random.default_rng(0).normal(0, 0.1, 9000), 100)
    cut = {
        "cut.wav": whole.read_bytes()[:544],
        "cut.flac": flac.read_bytes()[:900],
    }
    whole.unlink(), flac.unlink()
    for name, content in {**cut, "text.wav": b"hello", "zero.wav": b""}.items():
        (folder / "1" / name).write_bytes(content)
    save(folder / "1/empty.wav", np.zeros(0, "int16"))
    save(folder / "1/nan.wav", [0.1, np.nan, 0.1], subtype="FLOAT")
    save(folder / "1/int.wav", [0.0, 9000.0, 9.0], subtype="FLOAT")
    save(folder / "1/silent.wav", np.zeros(50, "int16"))
    save(folder / "1/pause.wav", np.r_[ramp(9), np.zeros(50, "int16"), ramp(9)])
    return {
        "1/cut.flac": "cannot be read as a recording",
        "1/cut.wav": "is cut off: 500 of 1,000 bytes of samples are there",
        "1/empty.wav": "is empty: it has no samples",
        "1/int.wav": "reaches 9000, where 1 is full scale",
        "1/nan.wav": "has samples that are no numbers",
        "1/pause.wav": "is silent: all 9 samples taken are zero",
        "1/silent.wav": "is silent: all 9 samples taken are zero",
        "1/text.wav": "cannot be read as a recording (Format not recognised",
        "1/zero.wav": "cannot be read as a recording (Format not recognised",
    }


CUT = SplitSettings(validation_fraction=0.25, test_fraction=0.3)


def test_every_bad_recording_is_told_before_it_stops(digits, tmp_path):
    bad = bad_recordings(digits)
    source = audio_folder_source(digits, sample_rate=100, seconds=0.09)
    folder = tmp_path / "splits"
    folder.mkdir()
    with pytest.raises(ValueError, match="The data is bad") as caught:
        write_splits(source, str(folder), CUT, seed=0)
    told = str(caught.value).split("Received:\n")[1].splitlines()
    assert len(told) == len(bad)
    for line, (name, what) in zip(told, bad.items(), strict=True):
        assert line.startswith(f"  {name}: {what}")


def test_bad_recordings_are_skipped_and_listed(digits, tmp_path):
    bad = bad_recordings(digits)
    source = audio_folder_source(digits, sample_rate=100, seconds=0.09)
    folder = tmp_path / "splits"
    folder.mkdir()
    record = write_splits(source, str(folder), CUT, seed=0, on_error="skip")
    assert [n for n, _ in record["skipped"] if "class" not in n] == list(bad)
    assert record["sample_rate"] == 100
    found = {}
    for name in SPLITS:
        split = Split.in_folder(folder, name)
        for x, y in zip(split.examples(), split.targets(), strict=True):
            found[int(x[0])] = int(y)
    assert found == {10 * i: i // 3 for i in range(6)}


def test_recording_written_to_a_pipe_is_whole(digits):
    # Its header was written before its length was known.
    path = digits / "0" / "0_0.wav"
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    source = audio_folder_source(digits, sample_rate=100, seconds=0.09)
    assert len(read(source)) == 6
    assert source.problems == []


def test_samples_beyond_int16_are_refused():
    with pytest.raises(BadFile, match="from 1 to 70000, beyond int16"):
        as_recording(np.array([1, 70_000]), 2)


@pytest.mark.parametrize("seconds", [0.001, 0, -1, float("nan")])
def test_no_samples_at_all_are_refused(digits, seconds):
    with pytest.raises(ValueError, match="A recording needs samples. Allowed"):
        audio_folder_source(digits, sample_rate=100, seconds=seconds)


def test_folder_without_recordings_is_refused(tmp_path):
    (tmp_path / "x.mp3").touch()
    with pytest.raises(ValueError, match=r"ending in .flac, .wav"):
        audio_folder_source(os.fspath(tmp_path), sample_rate=100, seconds=1)
