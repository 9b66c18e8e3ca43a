"""A finished run of every kind, made by hand: no model, no training."""

import dataclasses
import json

import numpy as np

from kd_tf.reporting.report import write_report
from kd_tf.results import (
    CompressionRecord,
    CostRecord,
    DataRecord,
    DiagnosisRecord,
    Environment,
    LayerRecord,
    Limit,
    Results,
    ScheduleRecord,
    ScoreRecord,
    TrainingRecord,
    Variant,
    from_json,
    to_tree,
)
from kd_tf.tasks import IGNORED, get_task
from kd_tf.tasks.curves import save_arrays

NAMES = ["<cat>", "dog|hound", "bird"]
VARIANTS = [
    Variant("teacher", "teacher", "teach"),
    Variant("control", "student on labels", "control"),
    Variant(
        "student",
        "student distilled",
        "distill",
        taught_by="teacher",
        compared_with="control",
    ),
    Variant(
        "pruned", "pruned", "prune", made_from="student", taught_by="teacher"
    ),
    Variant(
        "weight_only_int8",
        ".tflite weight-only int8",
        "quantize",
        made_from="pruned",
        is_file=True,
    ),
    Variant("int8", ".tflite int8", "quantize", "pruned", is_file=True),
]
SCORES = {"teacher": 0.9, "control": 0.7, "student": 0.75, "pruned": 0.74}
# kind: (task, shape of an example, type, sample rate)
KINDS = {
    "images": ("classification", (8, 6, 3), "uint8", None),
    "recordings": ("classification", (800,), "int16", 8000),
    "columns": ("classification", (5,), "float32", None),
    "masks": ("segmentation", (16, 12, 3), "uint8", None),
    "labels": ("multilabel", (8, 8, 1), "uint8", None),
    "values": ("regression", (5,), "float32", None),
}
COST = CostRecord(5000, 4000, 0.5, 0.6, 50.0, "a machine")
UNVERIFIED = {"model_scores": {}, "file_scores": {}, "limits": None}
_COUNT = 40
_SHOWN = 4
_COMPRESSION = CompressionRecord(
    layers=[
        LayerRecord("a", 10, 5, kernel_sparsity=0.5),
        LayerRecord("b", 4, 0, skipped="frozen"),
    ],
    sparsity=5 / 14,
)
_DIAGNOSIS = DiagnosisRecord(
    "two losses", ["Lower the temperature."], {"soft_targets_loss": None}
)


def results(kind="images", **overrides):
    """A run whose every job was on.

    The teacher scores 0.9, the control 0.7, the student 0.75, files 0.8.
    """
    task = get_task(KINDS[kind][0])
    files = {v.name: score(task, 0.8, agreement=0.99) for v in VARIANTS}
    run = Results(
        name="trial",
        seed=1,
        environment=Environment({"kd_tf": "0"}, "3", "a machine", None, None),
        config="name: trial\nstudent:\n  epochs: 2\n",
        variants=VARIANTS,
        released="int8",
        reference="teacher",
        data=data(kind),
        trainings=_trainings(task.score),
        compressions={"pruned": _COMPRESSION},
        model_scores={n: score(task, value) for n, value in SCORES.items()},
        file_scores=files,
        costs={
            **{v.name: COST for v in VARIANTS},
            "teacher": dataclasses.replace(COST, size_bytes=50_000, p50_ms=2.0),
        },
        limits=[Limit("max_size_kb", 20, 5)],
        seconds=dict.fromkeys(
            ("prepare", "teach", "control", "distill", "prune"), 1.5
        ),
    )
    return dataclasses.replace(run, **overrides)


def score(task, value, *, agreement=None):
    """A record whose main score is `value`."""
    return ScoreRecord(
        {task.score: value, "ece": 0.25},
        {"average precision": [0.5, None, 1.0]},
        agreement=agreement,
    )


def rescored(run, **values):
    """The run, with other scores of some variants, as Keras and as a file."""
    task = get_task(run.data.task)
    model_scores, file_scores = (
        {
            name: score(task, values[name]) if name in values else record
            for name, record in records.items()
        }
        for records in (run.model_scores, run.file_scores)
    )
    return dataclasses.replace(
        run, model_scores=model_scores, file_scores=file_scores
    )


def without(run, *names):
    """The run, as if there had never been some variants."""
    variants = [
        dataclasses.replace(
            v,
            **{
                key: None
                for key in ("taught_by", "compared_with", "made_from")
                if getattr(v, key) in names
            },
        )
        for v in run.variants
        if v.name not in names
    ]
    records = {
        field.name: {
            name: record
            for name, record in getattr(run, field.name).items()
            if name not in names
        }
        for field in dataclasses.fields(run)
        if field.name in _BY_VARIANT
    }
    reference = None if run.reference in names else run.reference
    return dataclasses.replace(
        run, variants=variants, reference=reference, **records
    )


_BY_VARIANT = (
    "trainings",
    "compressions",
    "model_scores",
    "file_scores",
    "costs",
)


def bare():
    """A run of one model and its float file, where all else was off."""
    student = Variant("student", "student distilled", "distill")
    file = Variant("float", ".tflite float", "export", "student", is_file=True)
    run = results(
        variants=[student, file],
        released="float",
        reference=None,
        seconds={},
        costs={},
        compressions={},
        **UNVERIFIED,
    )
    training = dataclasses.replace(
        run.trainings["student"], schedules={}, diagnosis=None
    )
    return dataclasses.replace(run, trainings={"student": training})


def data(kind):
    """What the splits of a kind hold."""
    task, shape, dtype, sample_rate = KINDS[kind]
    return DataRecord(
        task=task,
        class_names=NAMES,
        example_shape=list(shape),
        example_dtype=dtype,
        target_shape=list(get_task(task).target_shape(shape, len(NAMES))),
        examples={"train": 9, "validation": 6, "test": 6},
        examples_per_class={
            "train": [3, 3, 3],
            "validation": [2, 2, 2],
            "test": [2, 2, 2],
        },
        test_split="split by the seed",
        sample_rate=sample_rate,
        skipped=[("broken<1>.png", "not an image")],
    )


def verification(kind, folder, variants=VARIANTS):
    """Writes `curves.npz` and `shown.npz` and returns their folder."""
    task_name, shape, dtype, _ = KINDS[kind]
    task = get_task(task_name)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 200, (_COUNT, *shape)).astype(dtype)
    y = _targets(task_name, shape, rng)
    arrays, shown = {}, {"x": x, "y": y, "numbers": np.arange(_COUNT)}
    for variant in variants:
        outputs = _outputs(task_name, y, rng)
        new_score = task.new_score(len(NAMES))
        new_score.update(outputs, y)
        arrays[variant.name] = new_score.arrays()
        kept = task.outputs_to_keep(outputs)
        shown[f"file/{variant.name}"] = kept
        if not variant.is_file:
            shown[f"model/{variant.name}"] = kept
    folder.mkdir()
    save_arrays(folder / "curves.npz", arrays)
    few = {name: array[:_SHOWN] for name, array in shown.items()}
    np.savez(folder / "shown.npz", **few)
    return folder


def finished(kind, folder, **overrides):
    """A run folder such as `kd-tf compare` reads."""
    folder.mkdir()
    run = results(kind, **overrides)
    write_report(run, verification(kind, folder / "verification"), folder)
    return folder


def read(folder):
    """The results of a run folder."""
    return from_json(Results, (folder / "report.json").read_text())


def change(folder, **overrides):
    """Writes other values into a folder's `report.json`."""
    run = dataclasses.replace(read(folder), **overrides)
    (folder / "report.json").write_text(json.dumps(to_tree(run)))


def _trainings(key):
    trained = {"teacher": {}, "control": {}}
    # A loss of one's own is named as its function.
    losses = {"soft_targets_loss": 0.3, "student_loss": 0.4, "mine": 0.2}
    trained |= {"student": losses, "pruned": losses}
    records = {name: _training(key, more) for name, more in trained.items()}
    records["student"] = dataclasses.replace(
        records["student"], diagnosis=_DIAGNOSIS, adapter_parameters=1000
    )
    return records


def _training(key, losses):
    logs = {"loss": 1.0, key: 0.5, **losses}
    logs |= {f"val_{name}": value for name, value in logs.items()}
    schedule = ScheduleRecord("0.001 to 0 in 10 steps", [0, 1, 2], [1, 0.5, 0])
    return TrainingRecord(
        validation_score=0.4,
        parameters=1234,
        history=[logs, {**logs, "loss": 0.9}],
        best_epoch=2,
        schedules={"learning rate": schedule},
        losses=list(losses),
    )


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


def _outputs(task, y, rng):
    if task in ("regression", "multilabel"):
        return (y + rng.normal(size=y.shape) - 0.5).astype("float32")
    known = np.where(y == IGNORED, 0, y)
    right = np.eye(len(NAMES))[known]
    return (2 * right + rng.normal(size=right.shape)).astype("float32")
