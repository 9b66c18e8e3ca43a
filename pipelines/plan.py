"""Which stages a config asks for, on what they depend, and which are done."""

import dataclasses
import os

from pipelines.provenance import versions
from pipelines.workdir import hash_file, hash_folder, outcome

_SCALE = ("task", "data.mean", "data.std")
_TRAINING = ("seed", "data.batch_size", "data.augment", "labels", *_SCALE)
_SHOWN = ("data.mean", "data.std", "data.batch_size", "data.augment")
_MODELS = ("teach", "control", "distill", "prune")


@dataclasses.dataclass(frozen=True)
class Stage:
    """What a stage depends on.

    Attributes:
        name: The stage's verb.
        reads: Keys or sections of the config.
        after: Earlier stages whose outcome it uses.
        files: Keys of the config naming files or folders from outside.
        ignores: Keys of those sections that change nothing.
    """

    name: str
    reads: tuple[str, ...]
    after: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()


STAGES = (
    Stage(
        "prepare",
        ("seed", "task", "data"),
        files=("data.path",),
        ignores=_SHOWN,
    ),
    Stage(
        "teach", (*_TRAINING, "teacher"), ("prepare",), files=("teacher.path",)
    ),
    Stage("control", (*_TRAINING, "student"), ("prepare",)),
    Stage(
        "distill",
        (*_TRAINING, "student", "distill"),
        ("prepare", "teach"),
        files=("student.path",),
    ),
    Stage(
        "prune",
        (*_TRAINING, "prune", "distill"),
        ("prepare", "teach", "control", "distill"),
    ),
    Stage(
        "quantize",
        ("quantize", "export", *_SCALE),
        ("prepare", "control", "distill", "prune"),
    ),
    Stage(
        "export",
        ("export", *_SCALE),
        ("prepare", *_MODELS, "quantize"),
    ),
    Stage(
        "verify",
        ("budget", "benchmark", "data.batch_size", *_SCALE),
        ("prepare", *_MODELS, "quantize", "export"),
    ),
    Stage("benchmark", ("benchmark",), ("quantize", "export")),
    Stage(
        "report",
        ("name",),
        ("prepare", *_MODELS, "quantize", "export", "verify", "benchmark"),
    ),
)


def plan(config, workdir):
    """What each stage would do: `run`, `skip` or `off`, and why.

    Returns:
        List of (stage name, action, reason).
    """
    rows, outcomes, running = [], {}, []
    for stage in STAGES:
        off = reason_disabled(stage.name, config)
        waits_for = [name for name in stage.after if name in running]
        if off:
            rows.append((stage.name, "off", off))
        elif waits_for:
            rows.append((stage.name, "run", f"{waits_for[0]} runs first"))
            running.append(stage.name)
        else:
            why = workdir.why_not_valid(
                stage.name, key_of(stage, config, outcomes)
            )
            if why:
                rows.append((stage.name, "run", why))
                running.append(stage.name)
            else:
                rows.append((stage.name, "skip", "done, nothing has changed"))
                outcomes[stage.name] = outcome(workdir.record(stage.name))
    return rows


def reason_disabled(stage, config):
    """Why a config leaves a stage out, or None if it does not."""
    if stage == "distill" and config.student.path:
        return None
    if stage == "control" and config.student.path:
        return "student.path hands in a student trained at an unknown budget"
    section_name = "teacher" if stage == "teach" else stage
    section = getattr(config, section_name, None)
    if getattr(section, "enabled", True):
        return None
    return f"{section_name}.enabled is false"


def key_of(stage, config, outcomes):
    """All that decides what a stage computes; JSON.

    Args:
        stage: `Stage`.
        config: `Config`.
        outcomes: {name of a finished stage: hash of its outcome}.
    """
    tree = config.model_dump()
    key = {}
    for name in stage.reads:
        value = tree
        for part in name.split("."):
            value = value[part]
        if isinstance(value, dict):
            key.update({f"{name}.{k}": v for k, v in value.items()})
        else:
            key[name] = value
    for name in stage.files:
        section, field = name.split(".")
        path = tree[section][field]
        if path is not None:
            is_folder = os.path.isdir(path)
            hash_of = hash_folder if is_folder else hash_file
            key[f"file {name}"] = hash_of(path)
            key.pop(name, None)
    for name in stage.ignores:
        key.pop(name, None)
    for name in stage.after:
        key[f"after {name}"] = outcomes.get(name, "off")
    key.update({f"version of {k}": v for k, v in versions().items()})
    return key


def models_made(config):
    """Names of the Keras models a run makes, in the order of the road."""
    stages = {
        "teacher": "teach",
        "control": "control",
        "student": "distill",
        "pruned": "prune",
    }
    return [
        m for m, stage in stages.items() if not reason_disabled(stage, config)
    ]


def unpruned(config):
    """The student as it leaves training: distilled, or on labels alone."""
    return "student" if "student" in models_made(config) else "control"


def last_model(config):
    """The model that becomes the released file."""
    return "pruned" if config.prune.enabled else unpruned(config)


def released(config):
    """Name of the file that may be released."""
    return config.quantize.release if config.quantize.enabled else "float"
