"""Which stages a config asks for, on what they depend, and which are done."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any

from kd_tf.export.recipes import RECIPES
from kd_tf.tasks import TASKS
from pipelines.config.loading import paths_in
from pipelines.config.schema import Config
from pipelines.provenance import source_hash, versions
from pipelines.state import Run
from pipelines.workdir import hash_file, hash_folder, outcome

_SCALE = ("task", "data.mean", "data.std")
_TRAINING = (
    "seeds.weights",
    "seeds.order",
    "seeds.augmentation",
    "data.batch_size",
    "data.augment",
    "labels",
    *_SCALE,
)
_SHOWN = ("data.mean", "data.std", "data.batch_size", "data.augment")
_MODELS = ("teach", "control", "distill", "prune")


@dataclasses.dataclass(frozen=True)
class Stage:
    """What a stage depends on, besides its source code.

    Attributes:
        name: The stage's verb, and its module in `pipelines.stages`.
        reads: Keys or sections of the config.
        after: Earlier stages whose outcome it uses.
        ignores: Keys of those sections that change nothing.
    """

    name: str
    reads: tuple[str, ...]
    after: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()


STAGES = (
    Stage("prepare", ("seeds.split", "task", "data"), ignores=_SHOWN),
    Stage("teach", (*_TRAINING, "teacher"), ("prepare",)),
    Stage("control", (*_TRAINING, "student"), ("prepare",)),
    Stage("distill", (*_TRAINING, "student", "distill"), ("prepare", "teach")),
    Stage(
        "prune",
        (*_TRAINING, "prune", "distill"),
        ("prepare", "teach", "control", "distill"),
    ),
    Stage("export", ("export", *_SCALE), ("prepare", *_MODELS)),
    Stage("quantize", ("quantize", *_SCALE), ("prepare", "export")),
    Stage("benchmark", ("benchmark",), ("export", "quantize")),
    Stage(
        "verify",
        ("budget", "data.batch_size", *_SCALE),
        ("prepare", *_MODELS, "export", "quantize", "benchmark"),
    ),
    Stage(
        "report",
        # All of it stands on the page.
        tuple(Config.model_fields),
        ("prepare", *_MODELS, "export", "quantize", "benchmark", "verify"),
    ),
)


def plan(run: Run) -> list[tuple[str, str, str]]:
    """What each stage would do: `run`, `skip` or `off`, and why.

    Returns:
        List of (stage name, action, reason).
    """
    rows: list[tuple[str, str, str]] = []
    outcomes: dict[str, str] = {}
    running: list[str] = []
    for stage in STAGES:
        off = reason_disabled(stage.name, run.config)
        earlier = [name for name in stage.after if name in running]
        if off:
            rows.append((stage.name, "off", off))
            continue
        reason = f"{earlier[0]} runs first" if earlier else None
        if reason is None:
            key = key_of(stage, run.config, outcomes)
            reason = run.workdir.reason_to_run(stage.name, key)
        if reason:
            rows.append((stage.name, "run", reason))
            running.append(stage.name)
        else:
            rows.append((stage.name, "skip", "done, nothing has changed"))
            outcomes[stage.name] = outcome(run.workdir.finished(stage.name))
    return rows


def reason_disabled(stage: str, config: Config) -> str | None:
    """Why a config leaves a stage out, or None if it does not."""
    if stage == "distill" and config.student.path:
        return None
    if stage == "control" and config.student.path:
        return "student.path names a student whose training is not known"
    section_name = "teacher" if stage == "teach" else stage
    section = getattr(config, section_name, None)
    if getattr(section, "enabled", True):
        return None
    return f"{section_name}.enabled is false"


def key_of(
    stage: Stage, config: Config, outcomes: Mapping[str, str]
) -> dict[str, Any]:
    """All that decides what a stage computes; JSON.

    Args:
        stage: The stage.
        config: The config.
        outcomes: {name of a finished stage: hash of its outcome}.
    """
    key = _values(stage, config)
    for keys, path, must_exist in paths_in(config):
        name = ".".join(keys)
        is_there = os.path.exists if must_exist else os.path.isfile
        if keys[0] in stage.reads and is_there(path):
            # What lies there counts, not where it lies.
            key[f"file {name}"] = _hash(path)
            _drop(key, name)
    for name, path in [*_paths_of_own_arguments(key)]:
        key[f"file {name}"] = _hash(path)
    for name in stage.ignores:
        key.pop(name, None)
    for function in _code(stage, config):
        key[f"code {function}"] = source_hash(function)
    for name in stage.after:
        key[f"after {name}"] = outcomes.get(name, "off")
    packages = versions(with_data=stage.name == "prepare")
    key.update({f"version of {k}": v for k, v in packages.items()})
    return key


def _values(stage: Stage, config: Config) -> dict[str, Any]:
    tree = config.model_dump(mode="json")
    tree["seeds"] = {name: config.seed_of(name) for name in tree["seeds"]}
    key = {}
    for name in stage.reads:
        value = tree
        for part in name.split("."):
            value = value[part]
        if isinstance(value, dict):
            key.update({f"{name}.{k}": v for k, v in value.items()})
        else:
            key[name] = value
    return key


def _hash(path: str) -> str:
    return hash_folder(path) if os.path.isdir(path) else hash_file(path)


def _paths_of_own_arguments(
    key: Mapping[str, Any],
) -> Iterator[tuple[str, str]]:
    """(name, path) of what `args` of functions of one's own name on disk."""
    for name, value in key.items():
        if name.endswith(".args") and isinstance(value, dict):
            for argument, text in value.items():
                # Folders may be caches that the function itself writes to.
                if isinstance(text, str) and os.path.isfile(text):
                    yield f"{name}.{argument}", text


def _drop(key: dict[str, Any], name: str) -> None:
    """Takes a value out of a key, which may lie inside one of its values."""
    if name in key:
        del key[name]
        return
    outer, _, last = name.rpartition(".")
    key[outer] = {k: v for k, v in key[outer].items() if k != last}


def _code(stage: Stage, config: Config) -> Iterator[str]:
    """The stage's own module, and the functions that the config names."""
    yield f"pipelines.stages.{stage.name}"
    if "task" in stage.reads:
        yield TASKS.find(config.task).function
    if stage.name == "report":
        return  # it calls nothing else that the config names
    if stage.name == "prepare":
        yield config.data.spec.function
    for section in ("teacher", "student"):
        model = getattr(config, section)
        if section in stage.reads and model.spec and not model.path:
            yield model.spec.function
    if "distill" in stage.reads:
        for loss in config.distill.losses:
            yield loss.spec.function
            yield loss.spec.adapter
    if stage.name == "prune":
        yield config.prune.spec.function
    if stage.name == "quantize":
        for recipe in RECIPES.values():
            yield recipe.function
