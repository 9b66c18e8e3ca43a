"""One function a stage: section -> kd_tf -> artefacts and result.

A stage is called `(config, workdir, scratch)`: it reads finished artefacts
from the run folder, writes into `scratch`, and returns what it wrote, as
{name in the run folder: path}, and what it found, as JSON.
"""

import os
import shutil

import numpy as np

import kd_tf
from kd_tf.data.splits import SPLITS, Split, write_splits
from pipelines.config_io import dump_config
from pipelines.plan import (
    STAGES,
    delivered,
    last_model,
    models_made,
    unpruned,
    why_off,
)
from pipelines.provenance import environment


def prepare(config, workdir, scratch):
    """Reads the source, cuts it, and writes the splits where they stream."""
    result = write_splits(
        _open_source(config.data),
        scratch,
        validation_share=config.data.validation_share,
        test_share=config.data.test_share,
        seed=config.seed,
    )
    names = [f"{split}_{part}.npy" for split in SPLITS for part in "xy"]
    return _from(scratch, "data", names), result


def teach(config, workdir, scratch):
    """Trains the teacher, or takes the one handed in, and scores it."""
    return _train_or_take(config.teacher, "teacher", config, workdir, scratch)


def control(config, workdir, scratch):
    """Trains the student on labels alone: what distillation has to beat."""
    return _train_or_take(config.student, "control", config, workdir, scratch)


def distill(config, workdir, scratch):
    """Trains the same student, from the same weights, under the teacher."""
    return _train_or_take(config.student, "student", config, workdir, scratch)


def _train_or_take(network, name, config, workdir, scratch):
    from pipelines import training

    training.start(config)
    if network.path:
        model = kd_tf.load_classifier(network.path)
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
            trainer, model, network, config, workdir, scratch
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
        trainer, student, config.prune, config, workdir, scratch, pruning
    )
    result["pruning"] = pruning.record()
    return training.save(student, "pruned", scratch), result


def quantize(config, workdir, scratch):
    """Makes both int8 files of the student, ranges taken from training."""
    split = Split.in_folder(workdir.file("data"), "train")
    examples = split.images()[: config.quantize.calibration_examples]
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
            if recipe == config.quantize.deliver:
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
    """Converts every model, and seals the file that may be delivered."""
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
        origin = workdir.file(f"tflite/{config.quantize.deliver}.tflite")
    else:
        origin = os.path.join(scratch, f"{final}.tflite")
    sealed = os.path.join(scratch, "candidate.tflite")
    shutil.copyfile(origin, sealed)
    names = workdir.record("prepare")["result"]["class_names"]
    kd_tf.add_labels(sealed, names)
    result = {
        "delivered": delivered(config),
        "made_from": final,
        "not_converted": not_converted,
    }
    return _from(scratch, "tflite", [*files, "candidate.tflite"]), result


def verify(config, workdir, scratch):
    """Scores every model and file on the test split, and holds the budget."""
    from pipelines import training

    training.start(config)
    split = Split.in_folder(workdir.file("data"), "test")
    labels, images = split.labels(), split.images()
    stream = training.evaluation(config, workdir, "test")
    logits = {
        model: training.load(workdir, model).predict(stream, verbose=0)
        for model in models_made(config)
    }
    files, predictions = {}, {}
    for row, path in _files(config, workdir).items():
        answers = kd_tf.file_logits(path, images)
        twin = row if row in logits else last_model(config)
        predictions[row] = answers.argmax(axis=-1)
        files[row] = {
            "accuracy": kd_tf.accuracy(answers, labels),
            "agreement": kd_tf.agreement(answers, logits[twin]),
            "not_finite": int(np.sum(~np.isfinite(answers))),
        }
    scores = {m: kd_tf.accuracy(x, labels) for m, x in logits.items()}
    limits = _limits(config, workdir, scores, files)
    np.savez(
        os.path.join(scratch, "predictions.npz"), labels=labels, **predictions
    )
    result = {
        "models": scores,
        "files": files,
        "limits": [str(limit) for limit in limits],
        "missed": [str(limit) for limit in limits if not limit.kept],
    }
    return _from(scratch, "verification", ["predictions.npz"]), result


def benchmark(config, workdir, scratch):
    """Measures size, latency and memory of every file."""
    return {}, {
        row: _benchmark_file(config, path)
        for row, path in _files(config, workdir).items()
    }


def report(config, workdir, scratch):
    """Writes the pages, and delivers the file or marks it as refused."""
    results = {
        "name": config.name,
        "seed": config.seed,
        "environment": environment(),
        "config": dump_config(config),
        "stages": {
            stage.name: workdir.record(stage.name)["result"]
            for stage in STAGES
            if stage.name != "report" and not why_off(stage.name, config)
        },
    }
    predictions = None
    if config.verify.enabled:
        predictions = workdir.file("verification/predictions.npz")
    pages = kd_tf.write_report(results, predictions, scratch)
    missed = results["stages"].get("verify", {}).get("missed", [])
    file = "student.refused.tflite" if missed else "student.tflite"
    sealed = workdir.file("tflite/candidate.tflite")
    shutil.copyfile(sealed, os.path.join(scratch, file))
    result = {"missed": missed, "file": file}
    return _from(scratch, "", [*pages, file]), result


def _open_source(data):
    if data.source == "npz":
        return kd_tf.npz_source(data.path)
    if data.source == "tfds":
        return kd_tf.tfds_source(
            data.name, manual_dir=data.manual_dir, image_size=data.image_size
        )
    return kd_tf.digits_source()


def _convert(config, workdir, model, folder):
    path = os.path.join(folder, f"{model}.tflite")
    kd_tf.convert_to_tflite(
        workdir.file(f"models/{model}.keras"),
        path,
        example_shape=workdir.record("prepare")["result"]["example_shape"],
        mean=config.data.mean,
        std=config.data.std,
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
    # The very file that may be delivered, labels and all.
    names[delivered(config)] = "candidate"
    return {
        row: workdir.file(f"tflite/{name}.tflite")
        for row, name in names.items()
    }


def _limits(config, workdir, scores, files):
    budget, row = config.budget, delivered(config)
    path = _files(config, workdir)[row]
    limits = [kd_tf.Limit("answers_not_finite", 0, files[row]["not_finite"])]
    if budget.max_accuracy_drop is not None:
        # Rounded, for 0.95 - 0.94 is a little over 0.01.
        drop = round(scores["teacher"] - files[row]["accuracy"], 9)
        limits.append(
            kd_tf.Limit("max_accuracy_drop", budget.max_accuracy_drop, drop)
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
