"""A finished run of every kind, made by hand: no model, no training."""

import json

import numpy as np

from kd_tf.tasks import IGNORED, TASKS
from kd_tf.tasks.scoring import new_score, save_arrays

NAMES = ["<cat>", "dog|hound", "bird"]
FILES = ("teacher", "control", "student", "pruned", "weight_only_int8", "int8")
MODELS = FILES[:4]
# kind: (task, shape of an example, type, sample rate)
KINDS = {
    "images": ("classification", (8, 6, 3), "uint8", None),
    "recordings": ("classification", (800,), "int16", 8000),
    "columns": ("classification", (5,), "float32", None),
    "masks": ("segmentation", (16, 12, 3), "uint8", None),
    "labels": ("multilabel", (8, 8, 1), "uint8", None),
    "values": ("regression", (5,), "float32", None),
}
_COUNT = 40
_SHOWN = 4
_PRUNING = {
    "layers": [
        {"layer": "a", "weights": 10, "zeros": 5, "kernel_sparsity": 0.5},
        {"layer": "b", "weights": 4, "zeros": 0, "skipped": "frozen"},
    ],
    "sparsity": 5 / 14,
}
_COSTS = {
    "bytes": 5000,
    "gzip_bytes": 4000,
    "p50_ms": 0.5,
    "p95_ms": 0.6,
    "peak_memory_mb": 50.0,
}
_ENVIRONMENT = {
    "versions": {"kd_tf": "0"},
    "python": "3",
    "machine": "a machine",
    "git_commit": None,
    "git_dirty": None,
}


def stages(kind, *off):
    """{stage: what it found}, without the stages that are `off`.

    The teacher scores 0.9, the control 0.7, the student 0.75, files 0.8.
    """
    task, shape, dtype, sample_rate = KINDS[kind]
    score = TASKS[task].score
    found = {
        "prepare": {
            "task": task,
            "class_names": NAMES,
            "example_shape": shape,
            "example_dtype": dtype,
            "palette": None,
            "sample_rate": sample_rate,
            "examples": {"train": 9, "validation": 6, "test": 6},
            "examples_per_class": {
                "train": [3, 3, 3],
                "validation": [2, 2, 2],
                "test": [2, 2, 2],
            },
            "skipped": [["broken<1>.png", "no image"]],
        },
        "teach": _trained(score),
        "control": _trained(score),
        "distill": _trained(score, soft_targets_loss=0.3, student_loss=0.4),
        "prune": {**_trained(score), "pruning": _PRUNING},
        "quantize": {"recipes": {"weight_only_int8": {}, "int8": {}}},
        "export": {
            "released": "int8",
            "made_from": "pruned",
            "not_converted": {},
        },
        "verify": {
            "models": {
                model: {score: value, "not_finite": 0}
                for model, value in zip(
                    MODELS, (0.9, 0.7, 0.75, 0.74), strict=True
                )
            },
            "files": {
                row: {score: 0.8, "agreement": 0.99, "not_finite": 0}
                for row in FILES
            },
            "limits": ["max_size_kb: 5 of 20"],
            "missed": [],
        },
        "benchmark": dict.fromkeys(FILES, _COSTS),
    }
    if "teach" not in off:
        found["benchmark"]["teacher"] = {
            **_COSTS,
            "bytes": 50_000,
            "p50_ms": 2.0,
        }
    return {key: value for key, value in found.items() if key not in off}


def results(found):
    """What `write_report` takes, out of what the stages found."""
    moves = {"start": 1e-3, "end": 0.0, "shape": "cosine"}
    of_stage = {**moves, "epochs": 2, "ramp_epochs": 2}
    return {
        "name": "trial",
        "seed": 1,
        "environment": _ENVIRONMENT,
        "config": "name: trial\nstudent:\n  epochs: 2\n",
        "schedules": {"learning rate": {"teach": of_stage, "gone": of_stage}},
        "seconds": dict.fromkeys(found, 1.5),
        "stages": found,
    }


def verification(kind, folder):
    """Writes `curves.npz` and `shown.npz` and returns their folder."""
    task, shape, dtype, _ = KINDS[kind]
    rng = np.random.default_rng(0)
    x = rng.integers(0, 200, (_COUNT, *shape)).astype(dtype)
    y = _targets(task, shape, rng)
    answers = {row: _answers(task, y, rng) for row in FILES}
    arrays = {}
    for row, found in answers.items():
        score = new_score(task, len(NAMES))
        score.update(found, y)
        arrays[row] = score.arrays()
    folder.mkdir()
    save_arrays(folder / "curves.npz", arrays)
    few = slice(0, _SHOWN)
    shown = {"x": x[few], "y": y[few], "numbers": np.arange(_SHOWN)}
    for row, found in answers.items():
        said = found[few]
        if TASKS[task].per_pixel:
            said = TASKS[task].decide(said).astype("uint8")
        shown[f"answers/{row}"] = said
        if row in MODELS:
            shown[f"answers/{row} in Keras"] = said
    np.savez(folder / "shown.npz", **shown)
    return folder


def finished(kind, folder, **overrides):
    """A run folder such as `kd-tf compare` reads."""
    from kd_tf import write_report

    folder.mkdir()
    made = {**results(stages(kind)), **overrides}
    write_report(made, verification(kind, folder / "verification"), folder)
    return folder


def change(folder, **overrides):
    """Writes other values into a folder's `report.json`."""
    path = folder / "report.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **overrides}))


def _trained(score, **losses):
    logs = {"loss": 1.0, score: 0.5, **losses}
    logs |= {f"val_{key}": value for key, value in logs.items()}
    return {
        "history": [logs, {**logs, "loss": 0.9}],
        "best_epoch": 2,
        "validation_score": 0.4,
        "parameters": 1234,
    }


def _targets(task, shape, rng):
    if task == "regression":
        return rng.normal(size=(_COUNT, len(NAMES))).astype("float32")
    if task == "multilabel":
        return rng.integers(0, 2, (_COUNT, len(NAMES))).astype("uint8")
    axes = shape[:2] if task == "segmentation" else ()
    y = rng.integers(0, len(NAMES), (_COUNT, *axes)).astype("uint8")
    if task == "segmentation":
        y[0], y[1, :4] = IGNORED, IGNORED
    return y


def _answers(task, y, rng):
    if task in ("regression", "multilabel"):
        return (y + rng.normal(size=y.shape) - 0.5).astype("float32")
    known = np.where(y == IGNORED, 0, y)
    right = np.eye(len(NAMES))[known]
    return (2 * right + rng.normal(size=right.shape)).astype("float32")
