"""Measures whether peak memory grows with the data. Linux only.

Makes two folders of JPEG images, one ten times as large as the other, runs
every stage of the same config on each, and compares the peaks.

    python -m benchmarks.memory       # about 10 minutes; memory.json
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
from PIL import Image

from benchmarks.measured import run_measured
from kd_tf.results import to_tree
from pipelines.provenance import environment

COUNTS = (3_000, 30_000)
CLASSES = ("dark", "light", "striped")
SIDE = 64
RESULTS = pathlib.Path(__file__).with_suffix(".json")
CONFIG = """\
name: memory
data:
  source: image_folder
  path: {path}
  image_size: [{side}, {side}]
  augment: {{flip: horizontal}}
teacher:
  model: cnn
  args: {{filters: [16, 32]}}
  epochs: 1
student:
  model: cnn
  args: {{filters: [8, 8]}}
  epochs: 1
prune:
  epochs: 2
  ramp_epochs: 1
"""


def make_images(folder, count):
    """Writes images of classes that look different, no two images equal."""
    rng = np.random.default_rng(0)
    for number in range(count):
        name = CLASSES[number % len(CLASSES)]
        pixels = rng.integers(0, 128, (SIDE, SIDE, 3), "uint8")
        if name == "light":
            pixels += 127
        if name == "striped":
            pixels[::8] = 255
        path = folder / name / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def measure(count):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make_images(folder / "images", count)
        config = folder / "config.yaml"
        path = folder / "images"
        config.write_text(CONFIG.format(path=path, side=SIDE))
        command = [sys.executable, "-m", "pipelines.run"]
        command += ["--config", str(config), "--workdir", str(folder / "run")]
        measured = run_measured(command)
        data = (folder / "run" / "data").glob("*.npy")
        size = sum(path.stat().st_size for path in data)
    if measured["exit_status"]:
        raise SystemExit(f"a run ended with {measured['exit_status']}")
    return {"images": count, "megabytes_on_disk": round(size / 1e6), **measured}


def main():
    made_with = to_tree(environment())
    runs = [measure(count) for count in COUNTS]
    small, large = (run["peak_memory_mb"] for run in runs)
    results = {
        "environment": made_with,
        "runs": runs,
        "growth": round(large / small - 1, 4),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
