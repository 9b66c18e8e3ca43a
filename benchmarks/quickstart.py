"""Measures the quickstart as a user would run it: seconds and peak memory.

    python -m benchmarks.quickstart

writes quickstart.json; about a minute on two cores.
"""

import json
import pathlib
import sys
import tempfile

from benchmarks.measured import run_measured
from kd_tf.results import to_tree
from pipelines.provenance import environment

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).with_suffix(".json")


def main():
    made_with = to_tree(environment())
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipelines.run", "--workdir", folder]
        command += ["--config", str(ROOT / "configs" / "quickstart.yaml")]
        measured = run_measured(command)
        report = json.loads((pathlib.Path(folder) / "report.json").read_text())
    results = {
        "environment": made_with,
        **measured,
        "rows": report["rows"],
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
