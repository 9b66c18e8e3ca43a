"""With what a run was made: versions, source code, machine."""

import ast
import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sysconfig
from collections.abc import Iterator

import kd_tf
from kd_tf.edge.benchmarking import machine
from kd_tf.entry_points import find_source
from kd_tf.results import Environment

_PACKAGES = (
    "tensorflow",
    "keras",
    "tensorflow-model-optimization",
    "litert-quantizer",
    "ai-edge-litert",
)
_PACKAGES_OF_DATA = (
    "numpy",
    "pillow",
    "scikit-learn",
    "scipy",
    "soundfile",
    "tensorflow-datasets",
)
# Code of ours that decides what a stage computes, and not when or whether.
_OURS = (
    "kd_tf.",
    "pipelines.stages.",
    "pipelines.training",
    "pipelines.distilling",
)
_INSTALLED = tuple(
    os.path.join(sysconfig.get_path(name), "")
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def versions(*, with_data: bool = False) -> dict[str, str]:
    """{package: version} of all that decides what a stage computes.

    Args:
        with_data: Whether to list what reads data, too.
    """
    packages = (*_PACKAGES, *(_PACKAGES_OF_DATA if with_data else ()))
    installed = {name: importlib.metadata.version(name) for name in packages}
    return {"kd_tf": kd_tf.__version__, **installed}


def environment() -> Environment:
    """Versions, Python, machine and state of the code, for the record."""
    commit, is_dirty = _git_state()
    return Environment(
        versions=versions(),
        python=platform.python_version(),
        machine=machine(),
        git_commit=commit,
        git_dirty=is_dirty,
    )


def source_hash(function: str) -> str | None:
    """Hash of the source code behind a function, as it was first read.

    A process that has imported a module goes on with that code, whatever is
    written into its file meanwhile.

    That is its module, and all modules it imports, however indirectly, that
    are not installed packages; kd_tf counts wherever it lies.

    Args:
        function: `"package.module:function"`, or a module.

    Returns:
        None if the module has no source that can be found.
    """
    module = function.partition(":")[0]
    if find_source(module) is None:
        return None
    sha256 = hashlib.sha256()
    for name in sorted(_reached(module)):
        for path in _files_of(name):
            sha256.update(f"{name}\0".encode())
            sha256.update(_content(path))
    return sha256.hexdigest()


def _reached(root: str) -> set[str]:
    """A module, and all that it leads to by import, packages included."""
    own = _folder_of(root)
    reached: set[str] = set()
    waiting = [root]
    while waiting:
        module = waiting.pop()
        if module in reached or not (module == root or _counts(module, own)):
            continue
        reached.add(module)
        waiting.extend(_imported_by(module))
        package = module.rpartition(".")[0]
        if package:
            waiting.append(package)  # its `__init__.py` runs first
    return reached


def _folder_of(module: str) -> str:
    """The folder that a module's outermost package lies in."""
    path = os.path.abspath(find_source(module) or "")
    depth = module.count(".") + path.endswith("__init__.py")
    for _ in range(depth + 1):
        path = os.path.dirname(path)
    return os.path.join(path, "")


def _files_of(module: str) -> list[str]:
    """Source of a module, and the templates of a package."""
    path = find_source(module)
    if path is None:
        return []
    folder, name = os.path.split(path)
    if name != "__init__.py":
        return [path]
    files = sorted(os.listdir(folder))
    templates = [f for f in files if f.endswith((".html", ".md"))]
    return [path, *(os.path.join(folder, f) for f in templates)]


@functools.cache
def _imported_by(module: str) -> tuple[str, ...]:
    """Names of what a module imports anywhere in its code."""
    path = find_source(module)
    if path is None:
        return ()
    try:
        tree = ast.parse(_content(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    package = module
    if os.path.basename(path) != "__init__.py":
        package = module.rpartition(".")[0]
    return tuple(dict.fromkeys(_import_names(tree, package)))


def _import_names(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            # `kd_tf.name`, where the package was imported as a whole.
            if isinstance(node.value, ast.Name) and node.value.id == "kd_tf":
                yield kd_tf._MODULES.get(node.attr, "")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                outer = package.split(".")[: 1 - node.level or None]
                base = ".".join([*outer, *filter(None, [node.module])])
            yield base
            if base == "kd_tf":
                yield from (
                    kd_tf._MODULES.get(alias.name, "") for alias in node.names
                )
            # What is imported from a package may be a module of it.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _counts(module: str, own: str) -> bool:
    """Whether a module is ours, or lies beside the one that was asked for."""
    if module.partition(".")[0] in ("kd_tf", "pipelines"):
        return module.startswith(_OURS) and find_source(module) is not None
    path = os.path.abspath(find_source(module) or "")
    is_installed = "-packages" in path or path.startswith(_INSTALLED)
    return path.startswith(own) and not is_installed


@functools.cache
def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _git_state() -> tuple[str | None, bool | None]:
    """Commit of this code and whether it was changed since; None unknown."""
    folder = os.path.dirname(os.path.abspath(__file__))

    def git(*arguments: str) -> str:
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
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        return None, None
