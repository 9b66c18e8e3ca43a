"""The command `kd-tf compare RUN RUN...`: several finished runs on one page.

It reads what runs left behind and starts nothing, TensorFlow least of all.
Exit status: 0 the page is written, 2 the input is at fault.
"""

import argparse
import json
import os
import sys

from ruamel.yaml import YAML

from kd_tf.reporting.comparison import Run, write_comparison

_ALLOWED = "folders of runs that have come to their report"


def main(argv):
    """Reads the command line and writes the page.

    Args:
        argv: Arguments after `compare`.

    Returns:
        Exit status.
    """
    arguments = _parse(argv)
    try:
        runs = _read_runs(arguments.runs)
        os.makedirs(arguments.out, exist_ok=True)
        write_comparison(runs, differences(runs), arguments.out)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(os.path.join(arguments.out, "compare.html"))
    return 0


def differences(runs):
    """The keys that not all configs agree on.

    Args:
        runs: List of `kd_tf.reporting.comparison.Run`.

    Returns:
        {key: value in every run, as text; empty where it is not set}.
    """
    configs = [_flat(_config(run)) for run in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    rows = {key: [config.get(key, "") for config in configs] for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def _parse(argv):
    parser = argparse.ArgumentParser(
        prog="kd-tf compare",
        description="Puts several finished runs side by side on one page.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder")
    parser.add_argument(
        "--out", default="compare", help="folder of the page; %(default)s"
    )
    return parser.parse_args(argv)


def _read_runs(folders):
    if len({os.path.realpath(folder) for folder in folders}) < max(
        len(folders), 2
    ):
        raise ValueError(
            "There is nothing to compare. Allowed: two or more different run "
            f"folders. Received: {', '.join(folders)}"
        )
    labels = _labels(folders)
    runs = [_read(*each) for each in zip(labels, folders, strict=True)]
    tasks = {run.label: run.stages["prepare"]["task"] for run in runs}
    if len(set(tasks.values())) > 1:
        told = ", ".join(f"{label}: {task}" for label, task in tasks.items())
        raise ValueError(
            "The scores of these runs cannot be compared. Allowed: runs of "
            f"one task. Received: {told}"
        )
    return runs


def _read(label, folder):
    path = os.path.join(folder, "report.json")
    try:
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(_not_finished(folder, error)) from error
    wanted = {"seed", "environment", "config", "stages", "rows"}
    lacking = wanted - results.keys() if isinstance(results, dict) else wanted
    if lacking:
        told = f"{path} without {', '.join(sorted(lacking))}"
        raise ValueError(_not_finished(folder, told))
    if "task" not in results["stages"].get("prepare", {}):
        told = f"{path} of a version that knew no tasks; run it again"
        raise ValueError(_not_finished(folder, told))
    curves = os.path.join(folder, "verification", "curves.npz")
    # A run whose verification was turned off may have kept an older one's.
    verified = "verify" in results["stages"] and os.path.isfile(curves)
    return Run(label, results, os.path.dirname(curves) if verified else None)


def _not_finished(folder, received):
    return (
        f"{folder} is no finished run. Allowed: {_ALLOWED}. Received: "
        f"{received}"
    )


def _labels(folders):
    """The least of every path that tells it from the others."""
    paths = [os.path.abspath(folder).split(os.sep) for folder in folders]
    for depth in range(1, max(map(len, paths)) + 1):
        labels = ["/".join(path[-depth:]) for path in paths]
        if len(set(labels)) == len(labels):
            break
    return labels


def _config(run):
    return YAML(typ="safe", pure=True).load(run.results["config"])


def _flat(value, prefix=""):
    """{dotted key: value as text} of a tree; an empty one is a value."""
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, list) and any(
        isinstance(entry, (dict, list)) for entry in value
    ):
        items = enumerate(value, 1)
    else:
        return {prefix: "" if value is None else str(value)}
    flat = {}
    for key, inner in items:
        flat.update(_flat(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat
