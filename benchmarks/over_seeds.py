"""Runs a config for three seeds, as a user would, and averages the figures.

Every run has a folder of its own; finished runs are not repeated.
"""

import argparse
import json
import pathlib
import statistics
import sys

from benchmarks.measured import run_measured
from kd_tf.results import to_tree
from pipelines.provenance import environment

SEEDS = (1, 2, 3)
ROOT = pathlib.Path(__file__).parents[1]
_KEPT = ("test_score", "parameters", "bytes", "gzip_bytes", "p50_ms")


def over_seeds(config, results_path):
    """Runs `configs/CONFIG.yaml` once for each seed and writes the results.

    Args:
        config: Name of the config.
        results_path: JSON file to write, after every seed.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--workdir", required=True, help="for the run folders")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    # Before the results file makes the git tree dirty.
    made_with = to_tree(environment())
    runs = []
    for seed in SEEDS:
        folder = pathlib.Path(arguments.workdir) / f"seed{seed}"
        runs.append(run_config(config, seed, folder, arguments.set))
        results = {
            "environment": made_with,
            "runs": runs,
            "summary": _summary(runs),
        }
        text = json.dumps(results, indent=1) + "\n"
        pathlib.Path(results_path).write_text(text)


def run_config(config, seed, folder, overrides):
    """Runs a config into a folder and returns what was measured.

    Args:
        config: Name of the config.
        seed: Its seed.
        folder: `pathlib.Path` of the run.
        overrides: List of `SECTION.KEY=VALUE`.
    """
    command = [sys.executable, "-m", "pipelines.run"]
    command += ["--config", str(ROOT / "configs" / f"{config}.yaml")]
    command += ["--workdir", str(folder), "--set", f"seed={seed}"]
    for override in overrides:
        command += ["--set", override]
    measured = run_measured(command)
    # A run whose file misses its budget (3) is a result, too.
    if measured["exit_status"] not in (0, 3):
        raise SystemExit(f"{folder} ended with {measured['exit_status']}")
    report = json.loads((folder / "report.json").read_text())
    records = {
        path.stem: json.loads(path.read_text())["seconds"]
        for path in sorted((folder / "records").glob("*.json"))
    }
    return {
        "seed": seed,
        "released": measured["exit_status"] == 0,
        "peak_memory_mb": _peak(measured, sum(records.values())),
        "stage_seconds": records,
        "seconds": round(sum(records.values()), 1),
        "gap_closed": _gap_closed(report["rows"]),
        "rows": {
            row["id"]: {key: row[key] for key in _KEPT if key in row}
            for row in report["rows"]
        },
    }


def _peak(measured, seconds):
    """Peak of a whole run; None if some stages had been finished before."""
    is_whole = measured["seconds"] >= seconds
    return measured["peak_memory_mb"] if is_whole else None


def _gap_closed(rows):
    """Fraction of the gap from control to teacher that the int8 file closes."""
    scores = {row["id"]: row.get("test_score") for row in rows}
    gap = scores["teacher"] - scores["control"]
    return (scores["int8"] - scores["control"]) / gap


def _summary(runs):
    """Mean and sample standard deviation over the seeds, for each row."""
    summary = {"gap_closed": _spread([run["gap_closed"] for run in runs])}
    for row, measured in runs[0]["rows"].items():
        summary[row] = {
            key: _spread([run["rows"][row][key] for run in runs])
            for key in measured
        }
    return summary


def _spread(values):
    return {
        "mean": statistics.mean(values),
        "std": statistics.stdev(values) if len(values) > 1 else None,
    }
