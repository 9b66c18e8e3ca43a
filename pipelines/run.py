"""Runs a config: `run(config)` in Python, `python -m pipelines.run` outside.

`python -m pipelines.run --config FILE.yaml` is the command of `pipelines.cli`.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

# Set before anything imports them: less chatter of TensorFlow's, and the one
# backend of Keras that LiteRT's converter reads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

from absl import logging

from kd_tf.results import Results, from_json, to_tree
from pipelines import cli
from pipelines.config.loading import dump_config, load_config
from pipelines.config.schema import Config
from pipelines.plan import STAGES, key_of, reason_disabled
from pipelines.provenance import environment
from pipelines.state import Run
from pipelines.workdir import Workdir, outcome


def run(config: Config | str, workdir: str | None = None) -> Results:
    """Runs every stage that is not done yet.

    Args:
        config: A config, or the path of one.
        workdir: Run folder; `runs/NAME` in the current folder by default.

    Returns:
        `kd_tf.results.Results`. `results.missed` lists the limits of the
        budget that the file does not meet; it is then kept as
        `student.refused.tflite`.

    Raises:
        ConfigError: if the config is not valid.
        FolderInUseError: if another run is at work in the folder.
        ValueError: if the data or a model does not fit.
    """
    if not isinstance(config, Config):
        config = load_config(config)
    folder = workdir or os.path.join("runs", config.name)
    state = Run(config, Workdir(folder))
    with state.workdir.locked():
        _write_description(state)
        outcomes: dict[str, str] = {}
        for stage in STAGES:
            if reason_disabled(stage.name, config) is None:
                key = key_of(stage, config, outcomes)
                record = _finish(state, stage.name, key)
                outcomes[stage.name] = outcome(record)
    return read_results(folder)


def read_results(workdir: str) -> Results:
    """The results of a finished run.

    Args:
        workdir: Its folder.

    Raises:
        OSError: if there is no `report.json`.
        ValueError: if it was written by another version.
    """
    with open(os.path.join(workdir, "report.json"), encoding="utf-8") as file:
        return from_json(Results, file.read())


def _write_description(state: Run) -> None:
    description = {
        **to_tree(environment()),
        "seed": state.config.seed,
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    state.workdir.write_text("config.yaml", dump_config(state.config))
    state.workdir.write_text("run.json", json.dumps(description, indent=1))


def _finish(state: Run, stage: str, key: dict[str, Any]) -> dict[str, Any]:
    """The record of a stage, after running it if need be."""
    reason = state.workdir.reason_to_run(stage, key)
    if reason is None:
        logging.info("%s: skipped, done before", stage)
        return state.workdir.finished(stage)
    logging.info("%s: starts (%s)", stage, reason)
    start = time.monotonic()
    scratch = state.workdir.partial(stage, key)
    artefacts, result = _function(stage)(state, scratch)
    seconds = time.monotonic() - start
    record = state.workdir.finish(
        stage, key, artefacts, to_tree(result), seconds
    )
    logging.info("%s: ends after %.1f s", stage, seconds)
    return record


def _function(stage: str) -> Callable[..., Any]:
    # Imported when it runs: a finished run starts no TensorFlow.
    return getattr(importlib.import_module(f"pipelines.stages.{stage}"), stage)


def main() -> None:
    """The command `kd-tf`."""
    cli.main(run)


if __name__ == "__main__":
    main()
