"""Runs the smaller configs once, one for each task, for the README's table.

    python -m benchmarks.tasks --workdir DIR --dubai FOLDER [--manual_dir DIR]

writes tasks.json; half an hour on two cores. FOLDER holds the Dubai scenes,
and `--manual_dir` the archive of the spoken digits; without it the archive is
downloaded. Finished runs are not repeated.
"""

import argparse
import json
import pathlib

from benchmarks.over_seeds import run_config
from kd_tf.results import to_tree
from pipelines.provenance import environment

RESULTS = pathlib.Path(__file__).with_suffix(".json")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    parser.add_argument("--dubai", required=True)
    parser.add_argument("--manual_dir")
    arguments = parser.parse_args()
    overrides = {
        "diabetes": [],
        "dubai_labels": [f"data.path={arguments.dubai}"],
        "spoken_digit": [],
    }
    if arguments.manual_dir:
        manual_dir = f"data.manual_dir={arguments.manual_dir}"
        overrides["spoken_digit"].append(manual_dir)
    results = {"environment": to_tree(environment()), "runs": {}}
    for config, changed in overrides.items():
        results["runs"][config] = run_config(
            config, 1, arguments.workdir / config, changed
        )
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
