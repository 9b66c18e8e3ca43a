"""What a `.tflite` costs: bytes, milliseconds, memory.

Run as a command it times one file and prints JSON; so every file has a
process to itself, and its peak memory is its own. Needs no TensorFlow.
"""

import gzip
import json
import os
import platform
import subprocess
import sys
import time


def benchmark_file(tflite_path, *, runs, warmup):
    """Measures one file in a new process, on one thread.

    Args:
        tflite_path: The file.
        runs: Timed invocations, at least 1.
        warmup: Invocations before them that do not count.

    Returns:
        Dict: `bytes`, `gzip_bytes`, `p50_ms` and `p95_ms` of one invocation,
        `peak_memory_mb` (MB of 10^6 bytes) of the process with runtime and
        NumPy, `machine`.

    Raises:
        ValueError: if the runtime cannot run the file.
    """
    command = [sys.executable, "-m", "kd_tf.edge.benchmarking"]
    done = subprocess.run(
        [*command, os.fspath(tflite_path), str(runs), str(warmup)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ValueError(
            f"{tflite_path} does not run. Allowed: a file that LiteRT can "
            f"invoke. Received: exit status {done.returncode}, "
            + "".join(done.stderr.strip().splitlines()[-1:])
        )
    return {
        **file_sizes(tflite_path),
        **json.loads(done.stdout.splitlines()[-1]),
        "machine": machine(),
    }


def file_sizes(path):
    """`bytes` of a file as it is, and `gzip_bytes` compressed at level 9."""
    with open(path, "rb") as file:
        content = file.read()
    compressed = gzip.compress(content, compresslevel=9, mtime=0)
    return {"bytes": len(content), "gzip_bytes": len(compressed)}


def machine():
    """One line naming processor, cores and system."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.machine()}"
    )


def _processor():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def _time(tflite_path, runs, warmup):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=tflite_path, num_threads=1)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        image = rng.integers(0, 256, detail["shape"]).astype(detail["dtype"])
        interpreter.set_tensor(detail["index"], image)
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


def _peak_memory_mb():
    try:
        # Of this program alone; getrusage would count what started it, too.
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    print(json.dumps(_time(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
