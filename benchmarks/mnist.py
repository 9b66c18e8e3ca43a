"""Measures what distillation and each later stage change on MNIST.

Runs configs/mnist.yaml once for each seed, as a user would, and collects the
test errors of every model and file. Finished runs are not repeated.

    python benchmarks/mnist.py --workdir DIR [--manual_dir DIR]

writes mnist.json; 11 to 13 minutes a seed on two cores.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

from kd_tf.results import to_tree
from pipelines.provenance import environment

SEEDS = (1, 2, 3)
ROOT = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).with_suffix(".json")


def run(seed, arguments):
    folder = pathlib.Path(arguments.workdir) / f"seed{seed}"
    command = [sys.executable, "-m", "pipelines.run"]
    command += ["--config", str(ROOT / "configs" / "mnist.yaml")]
    command += ["--set", f"seed={seed}", "--workdir", str(folder)]
    if arguments.manual_dir:
        command += ["--set", f"data.manual_dir={arguments.manual_dir}"]
    # A run whose file misses its budget (3) is a result, too.
    status = subprocess.run(command).returncode
    if status not in (0, 3):
        raise SystemExit(f"seed {seed} ended with exit status {status}")
    report = json.loads((folder / "report.json").read_text())
    examples = report["data"]["examples"]["test"]
    records = (folder / "records").glob("*.json")
    seconds = sum(json.loads(r.read_text())["seconds"] for r in records)
    return {
        "seed": seed,
        "released": status == 0,
        "seconds": round(seconds, 1),
        "rows": {
            row["id"]: {
                "test_errors": round((1 - row["test_score"]) * examples),
                **{
                    key: row[key]
                    for key in ("parameters", "bytes", "gzip_bytes", "p50_ms")
                },
            }
            for row in report["rows"]
        },
    }


def summary(runs):
    """Mean and sample standard deviation over the seeds, for each row."""
    rows = {}
    for row in runs[0]["rows"]:
        rows[row] = {}
        for key in runs[0]["rows"][row]:
            values = [r["rows"][row][key] for r in runs]
            rows[row][key] = {
                "mean": statistics.mean(values),
                "std": statistics.stdev(values) if len(values) > 1 else None,
            }
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--manual_dir")
    arguments = parser.parse_args()
    runs = []
    # Before the results file makes the git tree dirty.
    made_with = to_tree(environment())
    for seed in SEEDS:
        runs.append(run(seed, arguments))
        results = {
            "environment": made_with,
            "runs": runs,
            "summary": summary(runs),
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
