import os

import numpy as np
import pytest
import soundfile

from kd_tf.data.sources.audio_folder import audio_folder_source
from kd_tf.data.splitting.assignment import SplitSettings
from tests.data.hand_made import listed, write


def save(path, samples, rate=100, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)


def ramp(count, start=1):
    return np.arange(start, start + count, dtype="int16")


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
    recordings = read(source)
    assert source.class_names == ["0", "1"]
    assert (source.sample_rate, source.task) == (100, "classification")
    assert (source.example.shape, source.example.dtype) == ((9,), "int16")
    assert source.train.count == len(recordings) == 6
    for name, (samples, label) in recordings.items():
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


def invalid_recordings(folder):
    """{name: why} of one invalid file of every kind, besides six valid."""
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
        "1/cut.wav": "is truncated: it has 500 of 1,000 bytes of samples",
        "1/empty.wav": "is empty: it has no samples",
        "1/int.wav": "reaches 9000, where 1 is full scale",
        "1/nan.wav": "has samples that are NaN or infinite",
        "1/pause.wav": "is silent: all 9 samples taken are zero",
        "1/silent.wav": "is silent: all 9 samples taken are zero",
        "1/text.wav": "cannot be read as a recording (Format not recognised",
        "1/zero.wav": "cannot be read as a recording (Format not recognised",
    }


SETTINGS = SplitSettings(validation_fraction=0.25, test_fraction=0.3)


def test_every_invalid_recording_is_listed_before_it_stops(digits, tmp_path):
    invalid = invalid_recordings(digits)
    source = audio_folder_source(digits, sample_rate=100, seconds=0.09)
    with pytest.raises(ValueError, match=r"Invalid data\. Fix") as caught:
        write(source, tmp_path / "splits", SETTINGS)
    lines = listed(caught)
    assert len(lines) == len(invalid)
    for line, (name, why) in zip(lines, invalid.items(), strict=True):
        assert line.startswith(f"  {name}: {why}")


def test_invalid_recordings_are_skipped_and_listed(digits, tmp_path):
    invalid = invalid_recordings(digits)
    source = audio_folder_source(digits, sample_rate=100, seconds=0.09)
    folder = tmp_path / "splits"
    record, splits = write(source, folder, SETTINGS, on_error="skip")
    assert [n for n, _ in record.skipped if "class" not in n] == list(invalid)
    assert record.sample_rate == 100
    label_of = {}
    for split in splits.values():
        for x, y in zip(split.examples(), split.targets(), strict=True):
            label_of[int(x[0])] = int(y)
    assert label_of == {10 * i: i // 3 for i in range(6)}


def test_recording_written_to_a_pipe_is_whole(digits):
    # Its header was written before its length was known.
    path = digits / "0" / "0_0.wav"
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4
    path.write_bytes(content)
    source = audio_folder_source(digits, sample_rate=100, seconds=0.09)
    assert len(read(source)) == 6
    assert source.problems == []


@pytest.mark.parametrize("seconds", [0.001, 0, -1, float("nan")])
def test_no_samples_at_all_are_refused(digits, seconds):
    with pytest.raises(ValueError, match=r"must be at least 1.*seconds="):
        audio_folder_source(digits, sample_rate=100, seconds=seconds)


def test_folder_without_recordings_is_refused(tmp_path):
    (tmp_path / "x.mp3").touch()
    with pytest.raises(ValueError, match=r"ending in .flac, .wav"):
        audio_folder_source(os.fspath(tmp_path), sample_rate=100, seconds=1)
