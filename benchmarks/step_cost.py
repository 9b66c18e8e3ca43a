"""What one distillation step costs beside what it is made of.

The sum to stay near is one plain training step of the student plus one
forward pass of the teacher. Each round times every contender once, over the
same batch, as compiled graphs; the ratio is taken round by round, so that a
machine whose speed drifts does not decide it.

    python benchmarks/step_cost.py        # 2 to 3 minutes; step_cost.json
"""

import json
import os
import pathlib
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from kd_tf import Distiller, build_model
from pipelines.provenance import environment

SEED, BATCH, ROUNDS, STEPS, TEMPERATURE, WEIGHT = 1, 128, 15, 10, 4.0, 0.5
RESULTS = pathlib.Path(__file__).with_suffix(".json")


def cnn(shape, filters, hidden=0):
    return build_model(
        "cnn", shape, 10, filters=filters, hidden=hidden, dropout=0.0
    )


PAIRS = {
    "configs/mnist.yaml": (
        (28, 28, 1),
        lambda shape: cnn(shape, [32, 64, 128], 256),
        lambda shape: cnn(shape, [16, 32, 64]),
    ),
    "MobileNetV2, 64x64": (
        (64, 64, 3),
        lambda shape: keras.applications.MobileNetV2(
            shape, weights=None, classes=10, classifier_activation=None
        ),
        lambda shape: cnn(shape, [16, 32, 64]),
    ),
}


def contenders(shape, build_teacher, build_student):
    """{name: function of a batch, compiled}, each with models of its own."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher = build_teacher(shape)
    plain = build_student(shape)
    ours = Distiller(
        build_student(shape),
        teacher,
        temperature=TEMPERATURE,
        student_weight=WEIGHT,
    )
    theirs = keras.distillation.Distiller(
        teacher,
        build_student(shape),
        keras.distillation.LogitsDistillation(
            TEMPERATURE, keras.losses.KLDivergence()
        ),
        student_loss_weight=WEIGHT,
    )
    for trainer in (plain, ours, theirs):
        trainer.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
        trainer.optimizer.build(trainer.trainable_variables)
    return {
        "student step": tf.function(lambda x, y: plain.train_step((x, y))),
        "teacher forward": tf.function(lambda x, y: teacher(x, training=False)),
        "kd_tf": tf.function(lambda x, y: ours.train_step((x, y))),
        "keras.distillation": tf.function(
            lambda x, y: theirs.train_step((x, y))
        ),
    }


def milliseconds(function, batch):
    start = time.perf_counter()
    for _ in range(STEPS):
        result = function(*batch)
    tf.nest.map_structure(lambda tensor: tensor.numpy(), result)
    return (time.perf_counter() - start) / STEPS * 1e3


def measure(shape, build_teacher, build_student):
    keras.utils.set_random_seed(SEED)
    batch = (
        tf.random.stateless_uniform((BATCH, *shape), (SEED, 0)),
        tf.constant(np.arange(BATCH) % 10),
    )
    functions = contenders(shape, build_teacher, build_student)
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
                r[name] / (r["student step"] + r["teacher forward"])
                for r in rounds
            )
            for name in ("kd_tf", "keras.distillation")
        },
    }


def quartiles(values):
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "quartiles": [low, high]}


def main():
    found = {name: measure(*pair) for name, pair in PAIRS.items()}
    settings = {
        "seed": SEED,
        "batch": BATCH,
        "rounds": ROUNDS,
        "steps_a_round": STEPS,
    }
    results = {**settings, "environment": environment(), "pairs": found}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
