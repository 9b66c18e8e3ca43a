"""What several rooms' tests share: tiny models, tiny data, one whole run."""

import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

TINY = """\
name: tiny
seed: 3
data:
  source: digits
  std: 16
  batch_size: 256
teacher:
  model: cnn
  args: {filters: [8, 8], dropout: 0.2}
  epochs: 2
student:
  model: cnn
  args: {filters: [4, 8]}
  epochs: 3
prune:
  epochs: 3
  ramp_epochs: 1
quantize:
  calibration_examples: 32
benchmark:
  runs: 5
  warmup: 1
"""


def run_pipeline(*arguments, **options):
    """`python -m pipelines.run ...` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipelines.run", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def finished_run(tiny_config, tmp_path_factory):
    """One whole run; copy the folder before changing it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    done = run_pipeline("--config", tiny_config, "--workdir", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done


@pytest.fixture
def npz_file(tmp_path):
    """Function writing a valid `.npz`, but for what is overridden."""

    def write(name="data.npz", **overrides):
        rng = np.random.default_rng(0)
        arrays = {
            "x_train": rng.integers(0, 256, (60, 8, 8), dtype="uint8"),
            "y_train": np.arange(60) % 3,
            "x_test": rng.integers(0, 256, (15, 8, 8), dtype="uint8"),
            "y_test": np.arange(15) % 3,
            **overrides,
        }
        kept = {k: v for k, v in arrays.items() if v is not None}
        np.savez(tmp_path / name, **kept)
        return str(tmp_path / name)

    return write
