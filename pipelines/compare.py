"""The command `kd-tf compare RUN RUN...`: several finished runs on one page.

It reads the reports of runs and starts nothing, TensorFlow least of all.
Exit status: 0 the page is written, 2 the input is invalid.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML

from kd_tf.reporting.comparison import FinishedRun, write_comparison
from kd_tf.results import Results, from_json

_MOST_ERRORS = 8  # of one report that are listed


def main(argv: Sequence[str]) -> int:
    """Reads the command line and writes the page.

    Args:
        argv: Arguments after `compare`.

    Returns:
        Exit status.
    """
    arguments = _parse(argv)
    try:
        runs = read_runs(arguments.runs)
        os.makedirs(arguments.out, exist_ok=True)
        write_comparison(runs, differences(runs), arguments.out)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(os.path.join(arguments.out, "compare.html"))
    return 0


def read_runs(folders: Sequence[str]) -> list[FinishedRun]:
    """Reads the reports of finished runs.

    Args:
        folders: Two or more different run folders.

    Raises:
        ValueError: if one is not a finished run of this version, or if they
            cannot be compared.
    """
    num_different = len({os.path.realpath(folder) for folder in folders})
    if num_different < max(len(folders), 2):
        raise ValueError(
            "A comparison needs two or more different run folders. Received: "
            f"{', '.join(folders)}"
        )
    runs = [*map(_read_run, _labels(folders), folders)]
    tasks = [f"{run.label}: {run.results.data.task}" for run in runs]
    if len({run.results.data.task for run in runs}) > 1:
        raise ValueError(
            "Scores of different tasks cannot be compared. Compare runs of "
            f"one task. Received: {', '.join(tasks)}"
        )
    return runs


def differences(runs: Sequence[FinishedRun]) -> dict[str, list[str]]:
    """The keys whose values differ between the configs.

    Args:
        runs: Runs to compare.

    Returns:
        {key: value in every run, as text; empty where it is not set}.
    """
    configs = [_flatten(_read_config(run)) for run in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    rows = {key: [config.get(key, "") for config in configs] for key in keys}
    return {key: row for key, row in rows.items() if len(set(row)) > 1}


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kd-tf compare",
        description="Puts several finished runs side by side on one page.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folder")
    parser.add_argument(
        "--out", default="compare", help="folder of the page; %(default)s"
    )
    return parser.parse_args(argv)


def _read_run(label: str, folder: str) -> FinishedRun:
    results = _read_results(folder)
    return FinishedRun(label, results, _verification(folder, results))


def _read_results(folder: str) -> Results:
    path = os.path.join(folder, "report.json")
    try:
        with open(path, encoding="utf-8") as file:
            return from_json(Results, file.read())
    except ValidationError as error:
        raise ValueError(_explain(folder, path, error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(_not_finished(folder, str(error))) from error


def _explain(folder: str, path: str, error: ValidationError) -> str:
    """Whether a report is broken, or of a version with other fields."""
    errors = error.errors()
    if errors[0]["type"] == "json_invalid":
        return _not_finished(folder, f"{path}: {errors[0]['msg']}")
    problems = [*map(_describe, errors[:_MOST_ERRORS])]
    return (
        f"{path} was not written by this version of kd_tf. Run the config "
        f"again. Received: {'; '.join(problems)}"
    )


def _describe(error: ErrorDetails) -> str:
    field = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"no {field}"
    return f"{field}: {error['msg']}" if field else error["msg"]


def _not_finished(folder: str, received: str) -> str:
    return (
        f"{folder} is not a finished run. Let it run until its report is "
        f"written. Received: {received}"
    )


def _verification(folder: str, results: Results) -> str | None:
    verification = os.path.join(folder, "verification")
    has_curves = os.path.isfile(os.path.join(verification, "curves.npz"))
    # A run whose verification was turned off may have kept an older one's.
    is_verified = results.limits is not None
    return verification if is_verified and has_curves else None


def _labels(folders: Sequence[str]) -> list[str]:
    """As much of the end of each path as tells it from the others."""
    paths = [os.path.abspath(folder).split(os.sep) for folder in folders]
    depth, labels = 0, [""] * len(paths)
    while len(set(labels)) < len(labels):
        depth += 1
        labels = ["/".join(path[-depth:]) for path in paths]
    return labels


def _read_config(run: FinishedRun) -> Any:
    return YAML(typ="safe", pure=True).load(run.results.config)


def _flatten(value: Any, prefix: str = "") -> dict[str, str]:
    """{dotted key: value as text} of a tree; an empty one is a value."""
    if isinstance(value, dict) and value:
        items = list(value.items())
    elif isinstance(value, list) and any(
        isinstance(entry, (dict, list)) for entry in value
    ):
        items = list(enumerate(value, 1))
    else:
        return {prefix: "" if value is None else str(value)}
    flat = {}
    for key, inner in items:
        flat.update(_flatten(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat
