"""Keras -> `.tflite`, in a process of its own.

The converter can crash the process it runs in, and leaks memory; so the
conversion is this module run as a command, under a time limit.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kd_tf.data.sources.source import ArraySpec
    from kd_tf.ranges import Positive
    from kd_tf.results import Moments

Tensor = Any
PerChannel = float | list[float]
_NO_BOUND = 1e6  # that no feature or value reaches


class ConversionError(ValueError):
    """A model that could not be made into a `.tflite` file."""


def convert_to_tflite(
    model_path: str | os.PathLike[str],
    tflite_path: str | os.PathLike[str],
    *,
    example: ArraySpec,
    mean: PerChannel,
    std: PerChannel,
    time_limit_s: Positive = 300.0,
    target_moments: Moments | None = None,
) -> None:
    """Converts a saved model to a float `.tflite` for a device.

    The file takes what a device has, one uint8 `image`, int16 `waveform` or
    row of float `features` (1, ...), and outputs `logits` (1, ..., C) or
    `values`; normalization is inside. Only builtin operators are used, so
    every LiteRT runtime can run it.

    Args:
        model_path: `.keras` file of a model from normalized examples.
        tflite_path: File to write.
        example: `ArraySpec`: shape of one example, without its batch axis, and
            type; fixed in the file even where the model would take others.
        mean: Subtracted from every input, one number or one a channel.
        std: Divides what remains, one number or one a channel.
        time_limit_s: Seconds the conversion may take.
        target_moments: `Moments` of the quantities that a regression outputs
            in units of their spread; None for classes.

    Raises:
        ConversionError: if it crashes, takes too long, or the model needs an
            operator that is not builtin.
    """
    job = {
        "model_path": os.fspath(model_path),
        "tflite_path": os.fspath(tflite_path),
        "shape": list(example.shape),
        "dtype": example.dtype,
        "mean": mean,
        "std": std,
        "moments": target_moments and dataclasses.asdict(target_moments),
    }
    command = [sys.executable, "-m", "kd_tf.export.convert", json.dumps(job)]
    try:
        process = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=time_limit_s,
            env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ},
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"{model_path} took too long to convert. Raise `time_limit_s`, or "
            f"use a smaller model. Received: time_limit_s={time_limit_s}"
        ) from error
    if process.returncode:
        raise ConversionError(
            f"{model_path} does not convert to LiteRT's builtin operators. "
            "Use layers that LiteRT supports. Received: "
            + _reason_of_failure(process)
        )


def _reason_of_failure(process: subprocess.CompletedProcess[str]) -> str:
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return f"the converter was killed by {name}"
    lines = [line for line in process.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {process.returncode}"


def _convert(
    *,
    model_path: str,
    tflite_path: str,
    shape: list[int],
    dtype: str,
    **scaling: Any,
) -> None:
    """Converts in this process; the arguments are those of the job."""
    import keras
    import tensorflow as tf

    from kd_tf.models.loading import load_model

    model = load_model(model_path)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        _serving_function(model, dtype, **scaling),
        input_signature=[
            tf.TensorSpec((1, *shape), dtype, _input_name(shape, dtype))
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        flatbuffer = converter.convert()
    _write_at_once(tflite_path, flatbuffer)


def _input_name(shape: list[int], dtype: str) -> str:
    if dtype == "int16":
        return "waveform"
    return "image" if len(shape) == 3 else "features"


def _serving_function(
    model: Callable[..., Tensor],
    dtype: str,
    *,
    mean: PerChannel,
    std: PerChannel,
    moments: dict[str, list[float]] | None,
) -> Callable[[Tensor], dict[str, Tensor]]:
    """The function of a file, from raw examples to its named output."""
    import tensorflow as tf

    from kd_tf.data.streaming import Normalization

    normalize = Normalization(mean, std)

    def serve(x: Tensor) -> dict[str, Tensor]:
        x = normalize(x)
        if dtype == "float32":
            # No one scale fits all columns of a table: the name makes the
            # quantizer leave this in float, and the bound, which no feature
            # reaches, keeps the converter from merging it into the first
            # layer.
            with tf.name_scope("scale_columns"):
                x = tf.clip_by_value(x, -_NO_BOUND, _NO_BOUND)
        outputs = model(x, training=False)
        if moments is None:
            return {"logits": outputs}
        std, mean = (
            tf.constant(moments[key], tf.float32) for key in ("std", "mean")
        )
        if len(moments["std"]) > 1:
            # Nor does one scale fit all values; as with columns.
            with tf.name_scope("scale_values"):
                outputs = tf.clip_by_value(outputs, -_NO_BOUND, _NO_BOUND)
        return {"values": outputs * std + mean}

    return serve


def _write_at_once(path: str, content: bytes) -> None:
    # A process that ran out of time may write while its successor does:
    # each writes a file of its own, which then appears whole or not at all.
    partial = f"{path}.{os.getpid()}"
    with open(partial, "wb") as file:
        file.write(content)
    os.replace(partial, path)


if __name__ == "__main__":
    _convert(**json.loads(sys.argv[1]))
