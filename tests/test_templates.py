"""The templates, on folders as somebody would have them."""

import json

import numpy as np
import pytest
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


def my_scenes(folder):
    for number in range(6):
        scene = RNG.integers(0, 256, (80, 100, 3), "uint8")
        mask = (scene[..., 0] > 127).astype("uint8")
        mask[:5] = 255
        save(folder / "images" / f"{number}.jpg", scene)
        save(folder / "masks" / f"{number}.png", mask)


TEMPLATES = {
    "own_images": (
        my_images,
        [
            "teacher.args={depth: 8, width: 4}",
            "student.args={filters: [4, 8]}",
            "data.image_size=[32, 32]",
        ],
        {"examples": {"train": 22, "validation": 2, "test": 6}},
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
        {"examples": {"train": 18, "validation": 6, "test": 12}},
    ),
}


@pytest.mark.parametrize(
    ("name", "made"), TEMPLATES.items(), ids=TEMPLATES.keys()
)
def test_template_runs_on_a_folder_of_its_kind(tmp_path, name, made):
    make, overrides, expected = made
    make(tmp_path / "mine")
    overrides = [*QUICK, *overrides, f"data.path={tmp_path / 'mine'}"]
    done = run_pipeline(
        "--config",
        ROOT / "configs" / f"{name}.yaml",
        "--workdir",
        tmp_path / "run",
        *(word for o in overrides for word in ("--set", o)),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    found = report["stages"]["prepare"]
    assert found["examples"] == expected["examples"]
    assert found["skipped"] == []
    assert (tmp_path / "run" / "student.tflite").stat().st_size > 0
    assert report["stages"]["verify"]["files"]["int8"]["not_finite"] == 0
    # Where it is, how good, how much longer: a line an epoch, no bars.
    assert "teach: epoch 1 of 1, 0 s left, val_" in done.stderr
    assert "\b" not in done.stderr + done.stdout
    assert list((tmp_path / "run" / "tensorboard" / "distill").glob("*"))
