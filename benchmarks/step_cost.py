"""Compares the cost of a distillation step with the sum of its parts.

The parts are one plain training step of the student, one forward pass of the
teacher, and the loss alone: its value and its gradient, adapters included, on
activations computed before. Each round times every function once, on the same
batch, as a compiled graph; ratios are taken within a round, so that drifts in
the machine's speed cancel out. `keras.distillation` is timed where it has the
loss, and compared with the same sum.

    python benchmarks/step_cost.py        # about 10 minutes; step_cost.json
"""

import dataclasses
import gc
import json
import os
import pathlib
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import kd_tf
from kd_tf.distillation.loss_table import LOSSES
from kd_tf.results import to_tree
from pipelines.provenance import environment

SEED, BATCH, ROUNDS, STEPS, TEMPERATURE, WEIGHT = 1, 128, 7, 6, 4.0, 0.5
RESULTS = pathlib.Path(__file__).with_suffix(".json")


def cnn(shape, filters, hidden=0):
    return kd_tf.build_model(
        "cnn", shape, 10, filters=filters, hidden=hidden, dropout=0.0
    )


def mobilenet(shape):
    return keras.applications.MobileNetV2(
        shape, weights=None, classes=10, classifier_activation=None
    )


@dataclasses.dataclass(frozen=True)
class Models:
    shape: tuple
    teacher: Callable
    student: Callable


MODELS = {
    "configs/mnist.yaml": Models(
        (28, 28, 1),
        lambda shape: cnn(shape, [32, 64, 128], 256),
        lambda shape: cnn(shape, [16, 32, 64]),
    ),
    "MobileNetV2, 64x64": Models(
        (64, 64, 3), mobilenet, lambda shape: cnn(shape, [16, 32, 64])
    ),
    # Keras's FeatureDistillation needs layers of one shape: the first ones.
    "first layers alike": Models(
        (28, 28, 1),
        lambda shape: cnn(shape, [32, 64, 128], 256),
        lambda shape: cnn(shape, [32, 32, 64]),
    ),
}
FIRST_LAYERS = (("relu_1", "relu_1"),)
KERAS = {
    ("soft_targets", "auto"): lambda: keras.distillation.LogitsDistillation(
        TEMPERATURE, keras.losses.KLDivergence()
    ),
    ("hint", FIRST_LAYERS): lambda: keras.distillation.FeatureDistillation(
        "mse", *FIRST_LAYERS[0]
    ),
}
ROWS = [
    *(("configs/mnist.yaml", loss, "auto") for loss in LOSSES),
    ("MobileNetV2, 64x64", "soft_targets", "auto"),
    ("MobileNetV2, 64x64", "hint", "auto"),
    ("MobileNetV2, 64x64", "rkd_distance", "auto"),
    ("first layers alike", "hint", FIRST_LAYERS),
]


def main():
    settings = {
        "seed": SEED,
        "batch": BATCH,
        "rounds": ROUNDS,
        "steps_a_round": STEPS,
        "environment": to_tree(environment()),
    }
    rows = []
    for models, loss, pairs in ROWS:
        row = measure(loss, MODELS[models], pairs)
        rows.append({"models": models, "loss": loss, "pairs": pairs, **row})
        print(rows[-1], flush=True)
        results = {**settings, "rows": rows}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(table(rows))


def table(rows):
    """Rows of Markdown: milliseconds, and ratios to the sum."""
    lines = []
    for row in rows:
        ms, ratios = row["median_ms"], row["ratio_to_sum"]
        cells = [row["models"], f"`{row['loss']}`"]
        cells += [
            f"{ms[name]:.1f}"
            for name in (
                "student step",
                "teacher forward",
                "loss alone",
                "kd_tf",
            )
        ]
        cells += [
            f"{ratios[name]['median']:.2f}" if name in ratios else ""
            for name in ("kd_tf", "keras.distillation")
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def measure(loss, models, pairs):
    keras.backend.clear_session()
    gc.collect()
    keras.utils.set_random_seed(SEED)
    batch = (
        tf.random.stateless_uniform((BATCH, *models.shape), (SEED, 0)),
        tf.one_hot(np.arange(BATCH) % 10, 10),
    )
    functions = timed_functions(loss, models, pairs, batch)
    # The first calls trace and compile; they do not count.
    for function in functions.values():
        milliseconds(function, batch)
    rounds = [
        {name: milliseconds(f, batch) for name, f in functions.items()}
        for _ in range(ROUNDS)
    ]
    return {
        "median_ms": {
            name: statistics.median(r[name] for r in rounds)
            for name in functions
        },
        "ratio_to_sum": {
            name: quartiles(
                r[name]
                / (r["student step"] + r["teacher forward"] + r["loss alone"])
                for r in rounds
            )
            for name in functions
            if name in ("kd_tf", "keras.distillation")
        },
    }


def timed_functions(loss, models, pairs, batch):
    """{name: compiled function of a batch}, each with a student of its own."""
    teacher = models.teacher(models.shape)
    plain, student, other = (models.student(models.shape) for _ in range(3))
    is_on_outputs = LOSSES[loss].knowledge == "response"
    ours = kd_tf.Distiller(
        student,
        teacher,
        kd_tf.LossTerm(loss, pairs=None if is_on_outputs else pairs),
        student_weight=WEIGHT,
    )
    steps = {"student step": plain, "kd_tf": ours}
    if (loss, pairs) in KERAS:
        steps["keras.distillation"] = keras.distillation.Distiller(
            teacher, other, KERAS[loss, pairs](), student_loss_weight=WEIGHT
        )
    functions = {
        "teacher forward": tf.function(lambda x, y: teacher(x, training=False)),
        "loss alone": loss_alone(ours, batch),
    }
    for name, trainer in steps.items():
        trainer.compile(
            "adam",
            keras.losses.CategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=False,
        )
        trainer.optimizer.build(trainer.trainable_variables)
        functions[name] = tf.function(
            lambda x, y, trainer=trainer: trainer.train_step((x, y))
        )
    return functions


def loss_alone(distiller, batch):
    """Compiled value and gradient of the loss, on activations given before."""
    x, _ = batch
    bound_loss = distiller.bound_losses[0]
    teacher = distiller.frozen_teacher(x)
    student = distiller.tapped_student(x, training=True)
    adapter_variables = bound_loss.trainable_variables

    def value_and_gradient(x, y):
        with tf.GradientTape() as tape:
            tape.watch((student.outputs, student.activations))
            value = bound_loss.loss(
                student, teacher, y=y, sample_weight=None, step=0
            )
        inputs = (student.outputs, student.activations, adapter_variables)
        return tape.gradient(value, inputs, unconnected_gradients="zero")

    return tf.function(value_and_gradient)


def milliseconds(function, batch):
    start = time.perf_counter()
    for _ in range(STEPS):
        result = function(*batch)
    tf.nest.map_structure(lambda tensor: tensor.numpy(), result)
    return (time.perf_counter() - start) / STEPS * 1e3


def quartiles(values):
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "quartiles": [low, high]}


if __name__ == "__main__":
    main()
