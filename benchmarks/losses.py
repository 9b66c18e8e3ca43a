"""Compares all losses on Fashion-MNIST: one student, one budget, five seeds.

Images are averaged down to 14x14. The teacher is trained on 50,000 of them.
The students are trained on 10,000 of these: on labels alone (the control), on
labels and one loss of `kd_tf`, or under `keras.distillation`. Losses between
layers compare the deepest pair of grids, losses between examples the last
vectors. The weight of a loss is the better of two on 5,000 validation images,
with a seed of its own: the one at which the first gradients of the loss and of
the labels have equal norms, and a tenth of it. Everything else, temperatures
included, has its default. The test split is used once, for the results.

    python benchmarks/losses.py --workdir DIR [--manual_dir DIR]

writes losses.json; under an hour on two cores. Jobs whose results are in
DIR/*.json are not repeated.
"""

import argparse
import concurrent.futures
import functools
import json
import multiprocessing
import os
import pathlib
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import kd_tf
from kd_tf.distillation.loss_table import LOSSES
from kd_tf.results import to_tree
from pipelines.provenance import environment

SEEDS, TUNING_SEED = (1, 2, 3, 4, 5), 0
FACTORS = (0.1, 1.0)
NUM_TEACHER, NUM_STUDENT, NUM_VALIDATION = 50_000, 10_000, 5_000
TEACHER_EPOCHS, EPOCHS, BATCH = 8, 10, 128
SHAPE, TEACHER_RATE, STUDENT_RATE = (14, 14, 1), 2e-3, 1e-2
STUDENT_WEIGHT, KERAS_TEMPERATURE = 0.5, 4.0
WORKERS = 2
PAIRS = {
    "response": None,
    "feature": [("relu_2", "relu_2")],
    "relation": [("average", "hidden")],
}
RESULTS = pathlib.Path(__file__).with_suffix(".json")

KERAS = {
    "keras.distillation, default": lambda: (
        keras.distillation.LogitsDistillation()
    ),
    "keras.distillation, KLDivergence()": lambda: (
        keras.distillation.LogitsDistillation(
            KERAS_TEMPERATURE, keras.losses.KLDivergence()
        )
    ),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--manual_dir")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    # Before the results file makes the git tree dirty.
    made_with = to_tree(environment())
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        WORKERS, context, one_core
    ) as pool:
        pool.submit(prepare, folder, arguments.manual_dir).result()
        losses = [*LOSSES, "soft_targets, standardize"]
        tuning = [(name, factor) for name in losses for factor in FACTORS]
        trials = list(pool.map(functools.partial(tune, folder), tuning))
        weights = {
            name: min(
                (t for t in trials if t["name"] == name),
                key=lambda trial: trial["validation_errors"],
            )["weight"]
            for name in losses
        }
        rows = ["labels alone", *KERAS, *losses]
        jobs = [(row, weights.get(row), s) for s in SEEDS for row in rows]
        runs = list(pool.map(functools.partial(measure, folder), jobs))
    results = {
        "environment": made_with,
        "settings": {
            "seeds": SEEDS,
            "tuning_seed": TUNING_SEED,
            "examples": [NUM_TEACHER, NUM_STUDENT, NUM_VALIDATION],
            "epochs": [TEACHER_EPOCHS, EPOCHS],
            "batch": BATCH,
            "student_weight": STUDENT_WEIGHT,
            "keras_temperature": KERAS_TEMPERATURE,
        },
        "teacher": json.loads((folder / "teacher.json").read_text()),
        "weights": weights,
        "trials": trials,
        "runs": runs,
        "summary": {row: summary(row, runs) for row in rows},
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


def one_core():
    """Limits a worker to one thread; two workers then use two cores best."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def prepare(folder, manual_dir):
    """Writes the arrays and trains the teacher, unless both exist."""
    if (folder / "teacher.json").exists():
        return
    source = kd_tf.tfds_source("fashion_mnist", manual_dir=manual_dir)
    arrays = {}
    for name, examples in (("train", source.train), ("test", source.test)):
        chunks = list(examples.chunks())
        arrays[f"x_{name}"] = np.concatenate([x for x, _ in chunks])
        arrays[f"y_{name}"] = np.concatenate([y for _, y in chunks])
    np.savez(folder / "data.npz", **arrays)
    data.cache_clear()
    keras.utils.set_random_seed(1)
    teacher = kd_tf.build_model(
        "cnn", SHAPE, 10, filters=[32, 64], hidden=128, dropout=0.4
    )
    compile_for(teacher, TEACHER_EPOCHS * NUM_TEACHER // BATCH, TEACHER_RATE)
    x, y = data(folder)["train"]
    teacher.fit(x, y, batch_size=BATCH, epochs=TEACHER_EPOCHS, verbose=2)
    teacher.save(folder / "teacher.keras")
    record = {
        "test_errors": test_errors(teacher, folder),
        "parameters": teacher.count_params(),
    }
    (folder / "teacher.json").write_text(json.dumps(record))


@functools.cache
def data(folder):
    """{split: (pixels in [0, 1], one-hot labels)}."""
    with np.load(folder / "data.npz") as arrays:
        order = np.random.default_rng(0).permutation(len(arrays["y_train"]))
        bounds = NUM_TEACHER, NUM_TEACHER + NUM_VALIDATION
        train, validation, _ = np.split(order, bounds)
        splits = {}
        for split, index in {
            "train": train,
            "student": train[:NUM_STUDENT],
            "validation": validation,
            "test": slice(None),
        }.items():
            source = "test" if split == "test" else "train"
            x = arrays[f"x_{source}"][index].astype("float32") / 255
            x = x.reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4))
            splits[split] = (
                x,
                np.eye(10, dtype="float32")[arrays[f"y_{source}"][index]],
            )
        return splits


def stored(function):
    """Stores the result of a job in a file, and reads it from there later."""

    @functools.wraps(function)
    def wrapper(folder, job):
        name = "_".join(str(part) for part in (function.__name__, *job))
        path = (
            folder / f"{''.join(c if c.isalnum() else '-' for c in name)}.json"
        )
        if not path.exists():
            path.write_text(json.dumps(function(folder, job)))
        return json.loads(path.read_text())

    return wrapper


@stored
def tune(folder, job):
    """Tries one loss weight; reads validation images, and no test images."""
    name, factor = job
    weight = factor * balanced_weight(folder, name)
    student = trained(folder, name, weight, TUNING_SEED)
    x, y = data(folder)["validation"]
    num_errors = errors(student, x, y)
    return {"name": name, "weight": weight, "validation_errors": num_errors}


@stored
def measure(folder, job):
    row, weight, seed = job
    student = trained(folder, row, weight, seed)
    return {
        "row": row,
        "seed": seed,
        "test_errors": test_errors(student, folder),
    }


def balanced_weight(folder, name):
    """Weight at which the gradients of loss and labels have equal norms."""
    distiller = under_teacher(folder, name, 1.0, TUNING_SEED)
    diagnosis = distiller.diagnose(batches(folder, TUNING_SEED).take(1))
    shares = diagnosis.gradient_share
    loss_share = shares[distiller.bound_losses[0].name]
    # A loss without a gradient on the first batch gets the weight 1.
    return shares["student_loss"] / loss_share if loss_share else 1.0


def trained(folder, row, weight, seed):
    if row == "labels alone":
        trainer = student = new_student(seed)
    elif row in KERAS:
        student = new_student(seed)
        trainer = keras.distillation.Distiller(
            load_teacher(folder),
            student,
            KERAS[row](),
            student_loss_weight=STUDENT_WEIGHT,
        )
    else:
        trainer = under_teacher(folder, row, weight, seed)
        student = trainer.student
    compile_for(trainer, EPOCHS * NUM_STUDENT // BATCH, STUDENT_RATE)
    trainer.fit(batches(folder, seed), epochs=EPOCHS, verbose=0)
    return student


def under_teacher(folder, name, weight, seed):
    loss, *transform = name.split(", ")
    loss_term = kd_tf.LossTerm(
        loss,
        weight=weight,
        # fsp needs two pairs, which PAIRS does not have.
        pairs=PAIRS[LOSSES[loss].knowledge] if loss != "fsp" else "auto",
        transform=transform[0] if transform else None,
    )
    distiller = kd_tf.Distiller(
        new_student(seed),
        load_teacher(folder),
        loss_term,
        student_weight=STUDENT_WEIGHT,
    )
    compile_for(distiller, 1, STUDENT_RATE)
    return distiller


def new_student(seed):
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return kd_tf.build_model(
        "cnn", SHAPE, 10, filters=[16, 32], hidden=0, dropout=0.0
    )


def load_teacher(folder):
    return kd_tf.load_model(folder / "teacher.keras")


def batches(folder, seed):
    stream = tf.data.Dataset.from_tensor_slices(data(folder)["student"])
    return stream.shuffle(NUM_STUDENT, seed=seed).batch(BATCH).prefetch(1)


def compile_for(model, num_steps, learning_rate):
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
    model.compile(
        keras.optimizers.Adam(schedule),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )


def test_errors(model, folder):
    return errors(model, *data(folder)["test"])


def errors(model, x, y):
    outputs = model.predict(x, batch_size=1000, verbose=0)
    return int(np.sum(outputs.argmax(-1) != y.argmax(-1)))


def summary(row, runs):
    """Test errors of a row, and their differences from two other rows."""
    errors = {r["seed"]: r["test_errors"] for r in runs if r["row"] == row}
    control = {
        r["seed"]: r["test_errors"] for r in runs if r["row"] == "labels alone"
    }
    keras_kl = {
        r["seed"]: r["test_errors"] for r in runs if r["row"] == [*KERAS][1]
    }
    return {
        "test_errors": mean_and_std(errors.values()),
        "minus_labels_alone": mean_and_std(
            errors[seed] - control[seed] for seed in errors
        ),
        "minus_keras_kl": mean_and_std(
            errors[seed] - keras_kl[seed] for seed in errors
        ),
    }


def mean_and_std(values):
    values = list(values)
    return {"mean": statistics.mean(values), "std": statistics.stdev(values)}


def table(results):
    lines = ["| loss | test errors of 10,000 | minus labels alone |", "|-|-|-|"]
    ranked = sorted(
        results["summary"].items(), key=lambda r: r[1]["test_errors"]["mean"]
    )
    for row, figures in ranked:
        cells = [
            f"{figures[key]['mean']:.1f} ± {figures[key]['std']:.1f}"
            for key in ("test_errors", "minus_labels_alone")
        ]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
