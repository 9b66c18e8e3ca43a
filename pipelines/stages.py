"""One function a stage: section -> kd_tf -> artefacts and result.

A stage is called `(config, workdir, scratch)`: it reads finished artefacts
from the run folder, writes into `scratch`, and returns what it wrote, as
{name in the run folder: path}, and what it found, as JSON.
"""

import dataclasses
import os
import shutil

import numpy as np

import kd_tf
from kd_tf.data.sources.source import ArraySpec
from kd_tf.data.splitting.assignment import SPLITS, SplitSettings
from kd_tf.data.splitting.splits import Split, write_splits
from kd_tf.edge.verification import examples_to_show
from kd_tf.tasks import TASKS
from kd_tf.tasks.scoring import save_arrays
from pipelines.config.loading import dump_config
from pipelines.opening import open_source
from pipelines.plan import (
    STAGES,
    last_model,
    models_made,
    reason_disabled,
    released,
    unpruned,
)
from pipelines.provenance import environment
from pipelines.schedules import schedules

_SPLIT_SETTINGS = [field.name for field in dataclasses.fields(SplitSettings)]


def prepare(config, workdir, scratch):
    """Reads the source, cuts it, and writes the splits where they stream."""
    source = open_source(config)
    if source.task != config.task:
        raise ValueError(
            "The data does not fit the task. Allowed: task: "
            f"{source.task}, or for masks task: multilabel with "
            f"data.present_fraction. Received: task: {config.task}"
        )
    cut = SplitSettings(
        **{key: getattr(config.data, key) for key in _SPLIT_SETTINGS}
    )
    result = write_splits(
        source,
        scratch,
        cut,
        seed=config.seed,
        on_error=config.data.on_error,
    )
    names = [f"{split}_{part}.npy" for split in SPLITS for part in "xy"]
    return _from(scratch, "data", names), result


def teach(config, workdir, scratch):
    """Trains the teacher, or takes the one handed in, and scores it."""
    return _train_or_load(
        "teach", config.teacher, "teacher", config, workdir, scratch
    )


def control(config, workdir, scratch):
    """Trains the student on labels alone: what distillation has to beat."""
    return _train_or_load(
        "control", config.student, "control", config, workdir, scratch
    )


def distill(config, workdir, scratch):
    """Trains the same student, from the same weights, under the teacher."""
    return _train_or_load(
        "distill", config.student, "student", config, workdir, scratch
    )


def _train_or_load(stage, network, name, config, workdir, scratch):
    from pipelines import training

    training.start(config)
    if network.path:
        model = kd_tf.load_model(network.path)
    else:
        model = training.build(network, workdir)
    title = "The teacher" if name == "teacher" else "The student"
    training.check(model, title, config, workdir)
    if network.path:
        result = training.score(model, config, workdir)
    else:
        trainer, diagnosis = model, {}
        if name == "student":
            trainer = training.under_teacher(model, config, workdir)
            diagnosis = {
                "diagnosis": training.diagnose(trainer, config, workdir)
            }
        result = training.train(
            stage, trainer, model, network, config, workdir, scratch
        )
        result.update(diagnosis)
    return training.save(model, name, scratch), result


def prune(config, workdir, scratch):
    """Masks the smallest weights while the student learns on."""
    from pipelines import training

    training.start(config)
    student = training.load(workdir, unpruned(config))
    steps = training.training_steps(config, workdir)
    pruning = kd_tf.MagnitudePruning(
        student,
        sparsity=config.prune.sparsity,
        ramp_steps=steps * config.prune.ramp_epochs,
        skip=config.prune.skip,
    )
    trainer = training.under_teacher(student, config, workdir)
    result = training.train(
        "prune",
        trainer,
        student,
        config.prune,
        config,
        workdir,
        scratch,
        pruning,
    )
    result["pruning"] = pruning.record()
    return training.save(student, "pruned", scratch), result


def quantize(config, workdir, scratch):
    """Makes both int8 files of the student, ranges taken from training."""
    split = Split.in_folder(workdir.file("data"), "train")
    examples = split.examples()[: config.quantize.calibration_examples]
    final = last_model(config)
    float_file = _convert(config, workdir, final, scratch)
    files, recipes, not_made = [f"{final}.tflite"], {}, {}
    for recipe in ("weight_only_int8", "int8"):
        path = os.path.join(scratch, f"{recipe}.tflite")
        try:
            recipes[recipe] = kd_tf.quantize_tflite(
                float_file, path, recipe, examples
            )
            files.append(f"{recipe}.tflite")
        except kd_tf.QuantizationError as error:
            if recipe == config.quantize.release:
                raise
            not_made[recipe] = str(error)
    result = {
        "recipes": recipes,
        "not_made": not_made,
        "calibration_examples": len(examples),
        "settings": config.quantize.model_dump(),
    }
    return _from(scratch, "tflite", files), result


def export(config, workdir, scratch):
    """Converts every model, and seals the file that may be released."""
    final, files, not_converted = last_model(config), [], {}
    for model in models_made(config):
        if config.quantize.enabled and model == final:
            continue  # quantize has converted it
        try:
            _convert(config, workdir, model, scratch)
            files.append(f"{model}.tflite")
        except kd_tf.ConversionError as error:
            if model == final:
                raise
            not_converted[model] = str(error)
    if config.quantize.enabled:
        origin = workdir.file(f"tflite/{config.quantize.release}.tflite")
    else:
        origin = os.path.join(scratch, f"{final}.tflite")
    sealed = os.path.join(scratch, "candidate.tflite")
    shutil.copyfile(origin, sealed)
    names = workdir.record("prepare")["result"]["class_names"]
    kd_tf.add_labels(sealed, names)
    result = {
        "released": released(config),
        "made_from": final,
        "not_converted": not_converted,
    }
    return _from(scratch, "tflite", [*files, "candidate.tflite"]), result


def verify(config, workdir, scratch):
    """Scores every model and file on the test split, and holds the budget."""
    from pipelines import training

    training.start(config)
    num_classes = len(workdir.record("prepare")["result"]["class_names"])
    split = Split.in_folder(workdir.file("data"), "test")
    models = {
        _keras(name): training.predict_function(config, workdir, name)
        for name in models_made(config)
    }
    files = _files(config, workdir)
    references = {
        row: _keras(row if _keras(row) in models else last_model(config))
        for row in files
    }
    models.update({row: kd_tf.FileModel(path) for row, path in files.items()})
    results, arrays, losses = kd_tf.evaluate_models(
        models,
        references,
        split.batches(config.data.batch_size),
        config.task,
        num_classes,
    )
    limits = _limits(config, workdir, results)
    rows = {row: found for row, found in arrays.items() if row in files}
    save_arrays(os.path.join(scratch, "curves.npz"), rows)
    shown = examples_to_show(losses[released(config)], config.task)
    _save_shown(
        os.path.join(scratch, "shown.npz"), shown, split, models, config
    )
    result = {
        "models": {m: results[_keras(m)] for m in models_made(config)},
        "files": {row: results[row] for row in files},
        "limits": [str(limit) for limit in limits],
        "missed": [str(limit) for limit in limits if not limit.met],
    }
    return _from(scratch, "verification", ["curves.npz", "shown.npz"]), result


def benchmark(config, workdir, scratch):
    """Measures size, latency and memory of every file."""
    return {}, {
        row: _benchmark_file(config, path)
        for row, path in _files(config, workdir).items()
    }


def report(config, workdir, scratch):
    """Writes the pages, and delivers the file or marks it as refused."""
    records = {
        stage.name: workdir.record(stage.name)
        for stage in STAGES
        if stage.name != "report" and not reason_disabled(stage.name, config)
    }
    results = {
        "name": config.name,
        "seed": config.seed,
        "environment": environment(),
        "config": dump_config(config),
        "schedules": schedules(config),
        "stages": {stage: found["result"] for stage, found in records.items()},
        "seconds": {
            stage: found["seconds"] for stage, found in records.items()
        },
    }
    verification = None
    if config.verify.enabled:
        verification = workdir.file("verification")
    pages = kd_tf.write_report(results, verification, scratch)
    missed = results["stages"].get("verify", {}).get("missed", [])
    file = "student.refused.tflite" if missed else "student.tflite"
    sealed = workdir.file("tflite/candidate.tflite")
    shutil.copyfile(sealed, os.path.join(scratch, file))
    result = {"missed": missed, "file": file}
    return _from(scratch, "", [*pages, file]), result


def _convert(config, workdir, model, folder):
    path = os.path.join(folder, f"{model}.tflite")
    found = workdir.record("prepare")["result"]
    kd_tf.convert_to_tflite(
        workdir.file(f"models/{model}.keras"),
        path,
        example=ArraySpec(
            tuple(found["example_shape"]), found["example_dtype"]
        ),
        **config.data.scale(found["examples_scale"]),
        values=found["targets"],
        time_limit_s=config.export.time_limit_s,
    )
    return path


def _files(config, workdir):
    """{row of the table: the file it speaks of}."""
    failed = workdir.record("export")["result"]["not_converted"]
    names = {m: m for m in models_made(config) if m not in failed}
    if config.quantize.enabled:
        recipes = workdir.record("quantize")["result"]["recipes"]
        names.update({recipe: recipe for recipe in recipes})
    # The very file that may be released, labels and all.
    names[released(config)] = "candidate"
    return {
        row: workdir.file(f"tflite/{name}.tflite")
        for row, name in names.items()
    }


def _keras(model):
    """Row of a model as Keras has it, beside that of its file."""
    return f"{model} in Keras"


def _save_shown(path, numbers, split, models, config):
    """A few examples and what every model and file makes of them."""
    x, y = split.examples()[numbers], split.targets()[numbers]
    arrays = {"x": x, "y": y, "numbers": numbers}
    for row, model in models.items():
        answers = model(x)
        per_pixel = TASKS[config.task].per_pixel
        arrays[f"answers/{row}"] = (
            TASKS[config.task].decide(answers).astype("uint8")
            if per_pixel
            else answers
        )
    np.savez(path, **arrays)


def _limits(config, workdir, results):
    budget, row = config.budget, released(config)
    path = _files(config, workdir)[row]
    limits = [kd_tf.Limit("answers_not_finite", 0, results[row]["not_finite"])]
    if budget.max_score_drop is not None:
        score = TASKS[config.task].score
        # Rounded, for 0.95 - 0.94 is a little over 0.01.
        drop = results[_keras("teacher")][score] - results[row][score]
        limits.append(
            kd_tf.Limit("max_score_drop", budget.max_score_drop, round(drop, 9))
        )
    if budget.max_size_kb is not None:
        size_kb = os.path.getsize(path) / 1000
        limits.append(kd_tf.Limit("max_size_kb", budget.max_size_kb, size_kb))
    if budget.max_latency_ms is not None:
        latency_ms = _benchmark_file(config, path)["p50_ms"]
        limits.append(
            kd_tf.Limit("max_latency_ms", budget.max_latency_ms, latency_ms)
        )
    return limits


def _benchmark_file(config, path):
    return kd_tf.benchmark_file(
        path, runs=config.benchmark.runs, warmup=config.benchmark.warmup
    )


def _from(scratch, folder, names):
    return {
        os.path.join(folder, name): os.path.join(scratch, name)
        for name in names
    }
