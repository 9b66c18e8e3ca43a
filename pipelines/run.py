"""The command: `python -m pipelines.run --config FILE.yaml`.

`python -m pipelines.run compare RUN RUN...` is another: `pipelines.compare`.

Exit status: 0 the file is released, 2 the input is at fault, 3 the file
misses its budget and is refused.
"""

import errno
import json
import logging as stdlib_logging
import os
import sys
import time

# Set before anything imports them: less chatter of TensorFlow's, and the one
# backend of Keras that LiteRT's converter reads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

from absl import app, flags, logging  # noqa: E402
from absl.flags import argparse_flags  # noqa: E402
from tabulate import tabulate  # noqa: E402

from pipelines import plan, stages  # noqa: E402
from pipelines.config import loading as config_io  # noqa: E402
from pipelines.provenance import environment  # noqa: E402
from pipelines.workdir import FolderInUse, Workdir, outcome  # noqa: E402

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main():
    # As `python -m` does: models and sources of one's own lie here.
    sys.path.insert(0, os.getcwd())
    if sys.argv[1:2] == ["compare"]:
        from pipelines import compare

        sys.exit(compare.main(sys.argv[2:]))
    app.run(_run, flags_parser=_parse)


def _parse(argv):
    parser = argparse_flags.ArgumentParser(
        prog="kd-tf",
        description="Distil, prune, quantize, export, verify: one run, one "
        "config, one .tflite. To put finished runs side by side: "
        "kd-tf compare --help",
    )
    parser.add_argument("--config", required=True, help="YAML file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="override a value of the config; may be repeated",
    )
    parser.add_argument("--workdir", help="run folder; runs/NAME if not given")
    parser.add_argument(
        "--plan",
        action="store_true",
        help="print which stages would run and why, and run nothing",
    )
    return parser.parse_args(argv[1:])


def _run(arguments):
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.INFO)
        handler = logging.get_absl_handler()
        handler.addFilter(_is_ours_or_a_warning)
        # One line that reads alike on a terminal, in a notebook, in a file.
        handler.setFormatter(
            stdlib_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
        )
    try:
        return _go(arguments)
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on.", file=sys.stderr)
        return 130
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        logging.debug("Where it happened:", exc_info=True)
        print(message, file=sys.stderr)
        return 2


def _is_ours_or_a_warning(record):
    return record.levelno > stdlib_logging.INFO or record.module in (
        "run",
        "progress",
    )


def _go(arguments):
    config = config_io.load_config(arguments.config, arguments.set)
    workdir = Workdir(arguments.workdir or os.path.join("runs", config.name))
    if arguments.plan:
        rows = plan.plan(config, workdir)
        print(tabulate(rows, ("stage", "action", "why"), tablefmt="plain"))
        return 0
    with workdir.locked():
        return _walk(config, workdir)


def _walk(config, workdir):
    workdir.write_text("config.yaml", config_io.dump_config(config))
    started = {
        **environment(),
        "seed": config.seed,
        "command": sys.argv,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    workdir.write_text("run.json", json.dumps(started, indent=1))
    outcomes = {}
    for stage in plan.STAGES:
        if plan.reason_disabled(stage.name, config) is None:
            key = plan.key_of(stage, config, outcomes)
            record = _finished(stage.name, key, config, workdir)
            outcomes[stage.name] = outcome(record)
    return _close(workdir, record["result"])


def _finished(stage, key, config, workdir):
    """The record of a stage, after running it if need be."""
    why = workdir.why_not_valid(stage, key)
    if why is None:
        logging.info("%s: skipped, done before", stage)
        return workdir.record(stage)
    logging.info("%s: starts (%s)", stage, why)
    start = time.monotonic()
    scratch = workdir.partial(stage, key)
    function = getattr(stages, stage)
    artefacts, result = function(config, workdir, scratch)
    seconds = time.monotonic() - start
    record = workdir.finish(stage, key, artefacts, result, seconds)
    logging.info("%s: ends after %.1f s", stage, seconds)
    return record


def _close(workdir, result):
    with open(workdir.file("table.md"), encoding="utf-8") as file:
        print("\n" + file.read())
    print(workdir.file(result["file"]))
    print(workdir.file("report.html"))
    if not result["missed"]:
        return 0
    for limit in result["missed"]:
        print(f"Refused: {limit}", file=sys.stderr)
    return 3


def _message(error):
    """What to tell the user of a fault that is not ours, else None."""
    text = f"{type(error).__name__}: {error}"
    full = getattr(error, "errno", None) in _FULL
    if full or "No space left" in text or "File too large" in text:
        return (
            "The disk is full. Allowed: room for the run folder; finished "
            f"stages are kept, run the command again. Received: {error}"
        )
    if not isinstance(error, (ValueError, OSError, FolderInUse)):
        return None
    if isinstance(error, config_io.ConfigError) or "Received" in text:
        return str(error)
    return f"{text}\n(--verbosity=1 shows where it happened)"


if __name__ == "__main__":
    main()
