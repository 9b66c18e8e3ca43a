"""Costs of a `.tflite` file: bytes, milliseconds, memory.

Run as a command it times one file and prints JSON; so every file has a
process to itself, and its peak memory is its own. Needs no TensorFlow, and no
pydantic either: ranges are therefore checked in code.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kd_tf.ranges import Count, WholeNumber
    from kd_tf.results import CostRecord


def benchmark_file(
    tflite_path: str | os.PathLike[str],
    *,
    runs: Count = 200,
    warmup: WholeNumber = 20,
) -> CostRecord:
    """Measures one file in a new process, on one thread.

    Args:
        tflite_path: The file.
        runs: Timed invocations.
        warmup: Invocations before them that do not count.

    Returns:
        `CostRecord`; the memory is that of a process with the runtime and
        NumPy alone.

    Raises:
        ValueError: if an argument is out of range, or the runtime cannot run
            the file.
    """
    # Here, so that it does not count in the memory of the timed process.
    from kd_tf.results import CostRecord

    if not runs >= 1:
        raise ValueError(f"`runs` must be at least 1. Received: runs={runs}")
    if not warmup >= 0:
        raise ValueError(
            f"`warmup` must be at least 0. Received: warmup={warmup}"
        )
    command = [sys.executable, "-m", "kd_tf.edge.benchmarking"]
    process = subprocess.run(
        [*command, os.fspath(tflite_path), str(runs), str(warmup)],
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise ValueError(
            f"{tflite_path} does not run. Pass a file that LiteRT can invoke. "
            f"Received: exit status {process.returncode}, "
            + "".join(process.stderr.strip().splitlines()[-1:])
        )
    size_bytes, gzip_bytes = file_sizes(tflite_path)
    return CostRecord(
        size_bytes=size_bytes,
        gzip_bytes=gzip_bytes,
        **json.loads(process.stdout.splitlines()[-1]),
        machine=machine(),
    )


def file_sizes(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Bytes of a file as it is, and compressed by gzip at level 9."""
    with open(path, "rb") as file:
        content = file.read()
    compressed = gzip.compress(content, compresslevel=9, mtime=0)
    return len(content), len(compressed)


def machine() -> str:
    """One line naming processor, cores and system."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}"
    )


def _processor() -> str:
    # `platform.processor` is empty or only says x86_64 on most of Linux.
    return (
        _field("/proc/cpuinfo", "model name")
        or platform.processor()
        or "unknown processor"
    )


def _field(path: str, name: str) -> str | None:
    """Value of a line `name: value` of a file, if there are both."""
    try:
        with open(path) as file:
            for line in file:
                if line.startswith(name):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return None


def _time(tflite_path: str, runs: int, warmup: int) -> dict[str, float]:
    """Times one file in this process; the timed part of a `CostRecord`."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=tflite_path, num_threads=1)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        example = rng.integers(0, 256, detail["shape"]).astype(detail["dtype"])
        interpreter.set_tensor(detail["index"], example)
    for _ in range(warmup):
        interpreter.invoke()
    milliseconds = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        interpreter.invoke()
        milliseconds.append((time.perf_counter_ns() - start) / 1e6)
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return {
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "peak_memory_mb": _peak_memory_mb(),
    }


def _peak_memory_mb() -> float:
    # Of this program alone; getrusage would count what started it, too.
    peak = _field("/proc/self/status", "VmHWM")
    if peak is not None:
        return int(peak.removesuffix("kB")) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    print(json.dumps(_time(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
