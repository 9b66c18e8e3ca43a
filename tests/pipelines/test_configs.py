"""Every task from end to end: the configs, on folders made to their kind."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.conftest import ROOT, run_pipeline

RNG = np.random.default_rng(0)
QUICK = (
    "teacher.epochs=1",
    "student.epochs=1",
    "control.enabled=false",
    "quantize.calibration_examples=8",
    "benchmark.runs=3",
    "budget.max_score_drop=1",
    "tensorboard=true",
)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def my_images(folder):
    for number in range(30):
        name = ("cat", "dog")[number % 2]
        pixels = RNG.integers(0, 256, (40, 30 + number, 3), "uint8")
        save(folder / "album" / name / f"{number}.png", pixels)


def labelled_scenes(folder):
    """One scene for training, one to choose by, one to report on."""
    land, water = (0x84, 0x29, 0xF6), (0xE2, 0xA9, 0x29)
    for part in (1, 7, 8):
        scene = RNG.integers(0, 256, (64, 64, 3), "uint8")
        mask = np.full((64, 64, 3), land, "uint8")
        mask[:32] = water
        mask[::16] = (0x9B, 0x9B, 0x9B)
        save(folder / "images" / f"image_part_00{part}.jpg", scene)
        save(folder / "masks" / f"image_part_00{part}.png", mask)


def recordings(folder):
    for number in range(24):
        speaker, digit = ("theo", "lucas")[number % 2], number // 2 % 2
        hertz = (300, 1200)[digit] * RNG.uniform(0.9, 1.1)
        sound = np.sin(2 * np.pi * hertz * np.arange(4000) / 8000)
        folder.mkdir(exist_ok=True)
        path = folder / f"{digit}_{speaker}_{number}.wav"
        soundfile.write(path, 0.3 * sound, 8000)


def nothing(folder):
    """The data come with scikit-learn."""
    folder.mkdir()


def my_scenes(folder):
    for number in range(6):
        scene = RNG.integers(0, 256, (80, 100, 3), "uint8")
        mask = (scene[..., 0] > 127).astype("uint8")
        mask[:5] = 255
        save(folder / "images" / f"{number}.jpg", scene)
        save(folder / "masks" / f"{number}.png", mask)


CONFIGS = {
    "dubai_labels": (
        labelled_scenes,
        [
            "data.tile_size=32",
            "data.image_size=[16, 16]",
            "teacher.args={filters: [4, 4]}",
            "student.args={filters: [2, 4]}",
        ],
        {"train": 4, "validation": 4, "test": 4},
    ),
    "spoken_digit": (
        recordings,
        [
            "data.source=audio_folder",
            "data.name=null",
            "data.name_key=null",
            "data.sample_rate=8000",
            r"data.label_pattern=^(\d)_",
            r"data.validation_pattern=_[1-5]\.wav",
            "teacher.args.units=4",
            "student.args.units=4",
        ],
        # Twelve by theo; of lucas's, 1, 3 and 5.
        {"train": 9, "validation": 3, "test": 12},
    ),
    "diabetes": (
        nothing,
        ["data.path=null", "budget.max_score_drop=null"],
        {"train": 266, "validation": 66, "test": 110},
    ),
    "own_images": (
        my_images,
        [
            "teacher.args={depth: 8, width: 4}",
            "student.args={filters: [4, 8]}",
            "data.image_size=[32, 32]",
        ],
        {"train": 22, "validation": 2, "test": 6},
    ),
    "own_segmentation": (
        my_scenes,
        [
            "teacher.args={width: 4, depth: 2}",
            "student.args={width: 2, depth: 1}",
            "data.tile_size=32",
            "data.image_size=[16, 16]",
        ],
        # Two rows of three tiles a scene; two scenes reach a fifth of 36.
        {"train": 18, "validation": 6, "test": 12},
    ),
}


@pytest.mark.parametrize(("name", "made"), CONFIGS.items(), ids=CONFIGS.keys())
def test_config_runs_on_data_of_its_kind(tmp_path, name, made):
    make, overrides, expected = made
    make(tmp_path / "mine")
    overrides = [*QUICK, f"data.path={tmp_path / 'mine'}", *overrides]
    done = run_pipeline(
        "--config",
        ROOT / "configs" / f"{name}.yaml",
        "--workdir",
        tmp_path / "run",
        *(word for o in overrides for word in ("--set", o)),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["data"]["examples"] == expected
    assert report["data"]["skipped"] == []
    assert (tmp_path / "run" / "student.tflite").stat().st_size > 0
    assert report["file_scores"]["int8"]["not_finite"] == 0
    # Where it is, how good, how much longer: a line an epoch, no bars.
    assert "teach: epoch 1 of 1, 0 s left, val_" in done.stderr
    assert "\b" not in done.stderr + done.stdout
    assert list((tmp_path / "run" / "tensorboard" / "distill").glob("*"))
