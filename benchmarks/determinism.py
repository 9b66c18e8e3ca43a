"""Measures what `enable_op_determinism` costs a distillation step.

TensorFlow cannot switch it off again. So each measurement runs in a process
of its own, in turn without and with it.

    python benchmarks/determinism.py      # about 3 minutes; determinism.json
"""

import json
import pathlib
import statistics
import subprocess
import sys

import step_cost
import tensorflow as tf

from kd_tf.results import to_tree
from pipelines.provenance import environment

ROUNDS = 3
RESULTS = pathlib.Path(__file__).with_suffix(".json")


def measure_here(deterministic):
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    models = step_cost.MODELS["configs/mnist.yaml"]
    timed = step_cost.measure("soft_targets", models, "auto")
    return timed["median_ms"]["kd_tf"]


def measure_apart(deterministic):
    command = [sys.executable, __file__, str(int(deterministic))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main():
    if sys.argv[1:]:
        print(measure_here(sys.argv[1] == "1"))
        return
    made_with = to_tree(environment())
    rounds = [
        {"plain": measure_apart(False), "deterministic": measure_apart(True)}
        for _ in range(ROUNDS)
    ]
    ratios = [r["deterministic"] / r["plain"] for r in rounds]
    results = {
        "environment": made_with,
        "rounds_ms": rounds,
        "ratio": {
            "median": statistics.median(ratios),
            "least": min(ratios),
            "greatest": max(ratios),
        },
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["ratio"], indent=1))


if __name__ == "__main__":
    main()
