"""Measures every model at its defaults: parameters, MACs, bytes, latency.

Ten classes, for each image or for each pixel. Weights are random, since the
cost does not depend on them. Biases are random too: the converter drops
operators that add zero. `keras_application` has its default backbone, without
downloaded weights.

    python benchmarks/models.py           # about 5 minutes; models.json
"""

import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import kd_tf
from kd_tf.data.sources.source import ArraySpec
from kd_tf.models import MODELS
from kd_tf.models.cost import count_macs
from kd_tf.results import to_tree
from pipelines.provenance import environment

SEED, NUM_CLASSES, CALIBRATION, RUNS, WARMUP = 1, 10, 16, 200, 20
SMALL, SECOND = ArraySpec((32, 32, 3), "uint8"), ArraySpec((16000,), "int16")
EXAMPLES = {
    "ds_cnn": SECOND,
    "gru": SECOND,
    "keras_application": ArraySpec((96, 96, 3), "uint8"),
    "transformer": SECOND,
    "unet": ArraySpec((128, 128, 3), "uint8"),
}
RESULTS = pathlib.Path(__file__).with_suffix(".json")


def main():
    results = {
        "seed": SEED,
        "num_classes": NUM_CLASSES,
        "runs": RUNS,
        "environment": to_tree(environment()),
        "rows": [],
    }
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(name, pathlib.Path(folder))
        print(row, flush=True)
        results["rows"].append(row)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results["rows"]))


def build(name):
    """Builds a model at its defaults, for the examples of this benchmark."""
    arguments = {"weights": None} if name == "keras_application" else {}
    shape = EXAMPLES.get(name, SMALL).shape
    return kd_tf.build_model(name, shape, NUM_CLASSES, **arguments)


def measure(name, folder):
    keras.backend.clear_session()
    keras.utils.set_random_seed(SEED)
    rng = np.random.default_rng(SEED)
    example, model = EXAMPLES.get(name, SMALL), build(name)
    for weight in model.weights:
        if weight.name in ("bias", "beta"):
            weight.assign(rng.normal(0, 0.1, weight.shape))
    model.save(folder / "model.keras")
    limits = np.iinfo(example.dtype)
    examples = rng.integers(
        limits.min, limits.max, (CALIBRATION, *example.shape), example.dtype
    )
    files = {kind: folder / f"{kind}.tflite" for kind in ("float", "int8")}
    kd_tf.convert_to_tflite(
        folder / "model.keras",
        files["float"],
        example=example,
        mean=0.0,
        std=float(limits.max),
        time_limit_s=600,
    )
    kd_tf.quantize_tflite(
        files["float"], files["int8"], recipe="int8", examples=examples
    )
    return {
        "model": name,
        "input_shape": list(example.shape),
        "parameters": model.count_params(),
        "macs": count_macs(model),
        **{kind: timed(path) for kind, path in files.items()},
    }


def timed(path):
    cost = kd_tf.benchmark_file(path, runs=RUNS, warmup=WARMUP)
    return {"bytes": cost.size_bytes, "p50_ms": cost.p50_ms}


def table(rows):
    """Rows of Markdown: shape, parameters, MACs, kB and ms."""
    lines = []
    for row in rows:
        kinds = [row[kind] for kind in ("float", "int8")]
        cells = [
            f"`{row['model']}`",
            "x".join(map(str, row["input_shape"])),
            f"{row['parameters']:,}",
            f"{row['macs'] / 1e6:.1f}",
            *(f"{kind['bytes'] / 1000:.0f}" for kind in kinds),
            *(f"{kind['p50_ms']:.2f}" for kind in kinds),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
