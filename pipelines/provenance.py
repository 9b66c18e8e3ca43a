"""With what a run was made: versions, code, machine."""

import importlib.metadata
import os
import platform
import subprocess

from kd_tf import __version__
from kd_tf.edge.benchmarking import machine

_PACKAGES = (
    "tensorflow",
    "keras",
    "tensorflow-model-optimization",
    "litert-quantizer",
    "ai-edge-litert",
)


def versions():
    """{package: version} of all that decides what a stage computes."""
    installed = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"kd_tf": __version__, **installed}


def environment():
    """Versions, Python, machine and state of the code, for the record."""
    return {
        "versions": versions(),
        "python": platform.python_version(),
        "machine": machine(),
        **_git_state(),
    }


def _git_state():
    """Commit of this code and whether it was changed since; None unknown."""
    folder = os.path.dirname(os.path.abspath(__file__))

    def git(*arguments):
        done = subprocess.run(
            ["git", "-C", folder, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    try:
        # Installed code may lie inside somebody else's repository.
        git("ls-files", "--error-unmatch", os.path.basename(__file__))
        return {
            "git_commit": git("rev-parse", "HEAD"),
            "git_dirty": bool(git("status", "--porcelain")),
        }
    except (OSError, subprocess.CalledProcessError):
        return {"git_commit": None, "git_dirty": None}
