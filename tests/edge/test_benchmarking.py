import gzip
import subprocess
import sys

import pytest

from kd_tf.edge.benchmarking import benchmark_file, file_sizes, machine
from kd_tf.ranges import Count, WholeNumber
from kd_tf.specs import read_arguments


def test_sizes_by_hand(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 1000)
    compressed = gzip.compress(b"a" * 1000, 9, mtime=0)
    assert file_sizes(path) == (1000, len(compressed))


def test_every_figure_of_a_file(float_file):
    cost = benchmark_file(float_file, runs=5, warmup=1)
    assert 0 < cost.p50_ms <= cost.p95_ms
    # The runtime with NumPy, and not the TensorFlow of whoever asked.
    assert 20 < cost.peak_memory_mb < 200
    assert cost.size_bytes == float_file.stat().st_size
    assert 0 < cost.gzip_bytes < cost.size_bytes
    assert cost.machine == machine() != ""


def test_file_that_does_not_run_is_refused(tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"bad.tflite does not run. Pass a fi"):
        benchmark_file(tmp_path / "bad.tflite", runs=1, warmup=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runs": 0}, "`runs` must be at least 1. Received: runs=0"),
        ({"warmup": -1}, "`warmup` must be at least 0. Received: warmup=-1"),
    ],
)
def test_arguments_out_of_range_are_refused(float_file, arguments, message):
    with pytest.raises(ValueError, match=message):
        benchmark_file(float_file, **arguments)


def test_ranges_and_defaults_can_be_read_from_the_source():
    arguments = read_arguments("kd_tf.edge.benchmarking:benchmark_file")
    runs, warmup = arguments["runs"], arguments["warmup"]
    assert (runs.annotation, runs.default) == (Count, 200)
    assert (warmup.annotation, warmup.default) == (WholeNumber, 20)


def test_verifying_and_timing_need_no_tensorflow():
    code = (
        "import sys, kd_tf; kd_tf.benchmark_file, kd_tf.FileModel, "
        "kd_tf.quantize_tflite; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


ON_A_DEVICE = """
import sys
import numpy as np
from kd_tf.edge.benchmarking import benchmark_file
from kd_tf.edge.runtime import FileModel
from kd_tf.edge.verification import evaluate_models

path = sys.argv[1]
cost = benchmark_file(path, runs=1, warmup=0)
images = np.zeros((2, 8, 8, 1), "uint8")
model = FileModel(path)
evaluation = evaluate_models(
    {"file": model, "same": model},
    {"file": "same"},
    [(images, np.array([0, 1]))],
    task="classification",
    num_outputs=3,
)
targets = {
    "classification": np.array([0, 1]),
    "multilabel": np.array([[0, 1, 1], [1, 0, 1]], "uint8"),
    "regression": np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 6.0]]),
}
for task, y in targets.items():
    batches = [(images, y)]
    evaluate_models({"a": model}, {}, batches, task=task, num_outputs=3)
masks = [(images, np.zeros((2, 8, 8), "uint8"))]
pixels = {"a": lambda x: np.ones((2, 8, 8, 3), "float32")}
evaluate_models(pixels, {}, masks, task="segmentation", num_outputs=3)
assert cost.p50_ms > 0 and evaluation.scores["file"].agreement == 1
absent = ("tensorflow", "keras", "pydantic", "scipy", "sklearn", "matplotlib")
print([name for name in absent if name in sys.modules])
"""


def test_a_device_needs_numpy_and_the_runtime_alone(float_file):
    process = subprocess.run(
        [sys.executable, "-c", ON_A_DEVICE, str(float_file)],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[-1] == "[]"
