"""Keras -> `.tflite`, in a process of its own.

The converter can crash the process it runs in, and leaks memory; so the
conversion is this module run as a command, under a time limit.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile


class ConversionError(ValueError):
    """A model that could not be made into a `.tflite` file."""


def convert_to_tflite(
    model_path, tflite_path, *, example, mean, std, time_limit_s, values=None
):
    """Converts a saved model to a float `.tflite` for a device.

    The file takes what a device has, one uint8 `image`, int16 `waveform` or
    row of float `features` (1, ...), and answers `logits` (1, ..., C) or
    `values`; normalization is inside. Only builtin operators are used, so
    every LiteRT runtime can run it.

    Args:
        model_path: `.keras` file of a model from normalized examples.
        tflite_path: File to write.
        example: `ArraySpec`: shape of one example, without its batch axis, and
            type; fixed in the file even where the model would take others.
        mean: Subtracted from every input, one number or one a channel.
        std: Divides what is left, one number or one a channel.
        time_limit_s: Seconds the conversion may take.
        values: `{"mean": ..., "std": ...}` of the quantities that a
            regression answers in units of their spread; None for classes.

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
        "values": values,
    }
    command = [sys.executable, "-m", "kd_tf.export.convert", json.dumps(job)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=time_limit_s,
            env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ},
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(
            f"{model_path} took too long to convert. Allowed: {time_limit_s} s "
            "(export.time_limit_s). Received: no answer by then"
        ) from error
    if done.returncode:
        raise ConversionError(
            f"{model_path} does not convert to LiteRT's builtin operators. "
            "Allowed: a model of layers that LiteRT knows. Received: "
            + _last_words(done)
        )


def _last_words(done):
    if done.returncode < 0:
        return f"the converter died of {signal.Signals(-done.returncode).name}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {done.returncode}"


def input_name(shape, dtype):
    """What a device is asked for."""
    if dtype == "int16":
        return "waveform"
    return "image" if len(shape) == 3 else "features"


def _convert(model_path, tflite_path, shape, dtype, mean, std, values):
    import keras
    import tensorflow as tf

    from kd_tf.data.streaming import Normalization
    from kd_tf.models.loading import load_model

    model = load_model(model_path)
    normalize = Normalization(mean, std)
    example = tf.TensorSpec((1, *shape), dtype, input_name(shape, dtype))

    def serve(x):
        x = normalize(x)
        if dtype == "float32":
            # No one scale fits all columns of a table: the name tells the
            # quantizer to leave this in float, and the bound, which no
            # feature reaches, keeps the converter from merging it into
            # the first layer.
            with tf.name_scope("scale_columns"):
                x = tf.clip_by_value(x, -1e6, 1e6)
        answers = model(x, training=False)
        if values is None:
            return {"logits": answers}
        std, mean = (
            tf.constant(values[k], tf.float32) for k in ("std", "mean")
        )
        if len(values["std"]) > 1:
            # Nor does one scale fit all values; as with columns.
            with tf.name_scope("scale_values"):
                answers = tf.clip_by_value(answers, -1e6, 1e6)
        return {"values": answers * std + mean}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        serve,
        input_signature=[example],
    )
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        flatbuffer = converter.convert()
    # Whole or not at all: whoever asked may be gone, and another be asking.
    partial = f"{tflite_path}.{os.getpid()}"
    with open(partial, "wb") as file:
        file.write(flatbuffer)
    os.replace(partial, tflite_path)


if __name__ == "__main__":
    _convert(**json.loads(sys.argv[1]))
