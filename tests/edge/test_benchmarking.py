import gzip
import subprocess
import sys

import pytest

from kd_tf.edge.benchmarking import benchmark_file, file_sizes, machine


def test_sizes_by_hand(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a" * 1000)
    assert file_sizes(path) == {
        "bytes": 1000,
        "gzip_bytes": len(gzip.compress(b"a" * 1000, 9, mtime=0)),
    }


def test_every_figure_of_a_file(finished_run):
    found = benchmark_file(finished_run[0] / "student.tflite", runs=5, warmup=1)
    assert 0 < found["p50_ms"] <= found["p95_ms"]
    # The runtime with NumPy, and not the TensorFlow of whoever asked.
    assert 20 < found["peak_memory_mb"] < 200
    assert found["gzip_bytes"] < found["bytes"]
    assert found["machine"] == machine() != ""


def test_file_that_does_not_run_is_refused(tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    with pytest.raises(ValueError, match="bad.tflite does not run. Allowed"):
        benchmark_file(tmp_path / "bad.tflite", runs=1, warmup=0)


def test_verifying_and_timing_need_no_tensorflow():
    code = (
        "import sys, kd_tf; kd_tf.benchmark_file, kd_tf.FileModel, "
        "kd_tf.quantize_tflite; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
