"""The commands: `kd-tf --config FILE.yaml` and `kd-tf compare RUN RUN...`.

Exit status: 0 the file is released, 2 the input is at fault, 3 the file does
not meet its budget and is refused.
"""

import argparse
import errno
import functools
import logging as stdlib_logging
import os
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging
from absl.flags import argparse_flags
from tabulate import tabulate

from kd_tf.results import Results
from pipelines.config.loading import ConfigError, load_config
from pipelines.config.schema import Config
from pipelines.plan import plan
from pipelines.state import Run
from pipelines.workdir import FolderInUseError, Workdir

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OUR_MODULES = ("run", "progress")  # those that log what a user follows


def main(run: Callable[[Config, str], Results]) -> None:
    """Reads the command line, acts, and exits.

    Args:
        run: Function that runs a config in a folder.
    """
    # As `python -m` does: models and sources of one's own lie here.
    sys.path.insert(0, os.getcwd())
    if sys.argv[1:2] == ["compare"]:
        from pipelines import compare

        sys.exit(compare.main(sys.argv[2:]))
    app.run(functools.partial(_run, run), flags_parser=_parse)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse_flags.ArgumentParser(
        prog="kd-tf",
        description="Distil, prune, export, quantize, verify: one run, one "
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


def _run(
    run: Callable[[Config, str], Results], arguments: argparse.Namespace
) -> int:
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.INFO)
        handler = logging.get_absl_handler()
        handler.addFilter(_is_ours_or_a_warning)
        # One line that reads alike on a terminal, in a notebook, in a file.
        handler.setFormatter(
            stdlib_logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S")
        )
    try:
        return _execute(run, arguments)
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


def _is_ours_or_a_warning(record: stdlib_logging.LogRecord) -> bool:
    return record.levelno > stdlib_logging.INFO or (
        record.module in _OUR_MODULES
    )


def _execute(
    run: Callable[[Config, str], Results], arguments: argparse.Namespace
) -> int:
    config = load_config(arguments.config, arguments.set)
    folder = arguments.workdir or os.path.join("runs", config.name)
    state = Run(config, Workdir(folder))
    if arguments.plan:
        rows = plan(state)
        print(tabulate(rows, ("stage", "action", "why"), tablefmt="plain"))
        return 0
    results = run(config, folder)
    with open(state.workdir.file("table.md"), encoding="utf-8") as file:
        print("\n" + file.read())
    print(state.workdir.file(state.result("report").file))
    print(state.workdir.file("report.html"))
    for limit in results.missed:
        print(f"Refused: {limit}", file=sys.stderr)
    return 3 if results.missed else 0


def _message(error: Exception) -> str | None:
    """What the user reads of a fault that is not ours, else None."""
    text = f"{type(error).__name__}: {error}"
    is_full = getattr(error, "errno", None) in _FULL
    if is_full or "No space left" in text or "File too large" in text:
        return (
            "The disk is full. Make room for the run folder and run the "
            "command again; finished stages are kept. Received: "
            f"{error}"
        )
    if not isinstance(error, (ValueError, OSError, FolderInUseError)):
        return None
    if isinstance(error, ConfigError) or "Received" in text:
        return str(error)
    return f"{text}\n(--verbosity=1 shows where it happened)"
