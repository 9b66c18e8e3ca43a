"""Which share of the code's lines and branches the tests run, room by room.

    python -m benchmarks.coverage       # 10 minutes on two cores; coverage.json

Needs `pip install coverage`. What runs in processes of its own is counted. The
test of a full disk fails under it, because coverage cannot write there either;
the exit status of the tests stands in the results.
"""

import collections
import json
import pathlib
import subprocess
import sys
import tempfile

from kd_tf.results import to_tree
from pipelines.provenance import environment

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).with_suffix(".json")
SETTINGS = """\
[run]
source = {root}/kd_tf,{root}/pipelines
branch = true
patch = subprocess
parallel = true
data_file = {folder}/data
"""


def main():
    made_with = to_tree(environment())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        settings = folder / "settings"
        settings.write_text(SETTINGS.format(root=ROOT, folder=folder))
        command = [sys.executable, "-m", "coverage"]
        rcfile = f"--rcfile={settings}"
        tests = subprocess.run(
            [*command, "run", rcfile, "-m", "pytest", "-q", *sys.argv[1:]],
            cwd=ROOT,
        )
        subprocess.run([*command, "combine", rcfile], cwd=ROOT, check=True)
        report = folder / "report.json"
        subprocess.run(
            [*command, "json", rcfile, "-o", str(report)], cwd=ROOT, check=True
        )
        files = json.loads(report.read_text())["files"]
    results = {
        "environment": made_with,
        "tests_exit_status": tests.returncode,
        "percent": by_room(files),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["percent"], indent=1))


def by_room(files):
    """{room: percent of lines and branches that were run}, and of all."""
    counts = collections.defaultdict(lambda: [0, 0])
    for path, file in files.items():
        room = str(pathlib.PurePath(path).parent)
        summary = file["summary"]
        covered = summary["covered_lines"] + summary["covered_branches"]
        total = summary["num_statements"] + summary["num_branches"]
        for key in (room, "all"):
            counts[key][0] += covered
            counts[key][1] += total
    return {
        room: round(100 * covered / total, 1)
        for room, (covered, total) in sorted(counts.items())
        if total
    }


if __name__ == "__main__":
    main()
