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
import zipfile

INPUT_NAME = "image"
OUTPUT_NAME = "logits"
_LABELS = "labels.txt"
# A fixed date, so that the same model gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


class ConversionError(ValueError):
    """A model that could not be made into a `.tflite` file."""


def convert_to_tflite(
    model_path, tflite_path, *, example_shape, mean, std, time_limit_s
):
    """Converts a saved classifier to a float `.tflite` for a device.

    The file takes what a device has, one uint8 image `image` (1, ...), and
    answers `logits` (1, C); normalization is inside. Only builtin operators
    are used, so every LiteRT runtime can run it.

    Args:
        model_path: `.keras` file of a model from normalized images to logits.
        tflite_path: File to write.
        example_shape: Shape of one image, without its batch axis; fixed in
            the file even where the model would take others.
        mean: Subtracted from every pixel, one number or one a channel.
        std: Divides what is left, one number or one a channel.
        time_limit_s: Seconds the conversion may take.

    Raises:
        ConversionError: if it crashes, takes too long, or the model needs an
            operator that is not builtin.
    """
    job = {
        "model_path": os.fspath(model_path),
        "tflite_path": os.fspath(tflite_path),
        "example_shape": list(example_shape),
        "mean": mean,
        "std": std,
    }
    command = [sys.executable, "-m", "kd_tf.export", json.dumps(job)]
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


def add_labels(tflite_path, class_names):
    """Packs the class names into the file, as `labels.txt`.

    They are appended as a zip archive, the convention of associated files:
    runtimes do not see it, `unzip` and Android's tools do.

    Reference:
        https://ai.google.dev/edge/litert/conversion/tensorflow/metadata
    """
    with zipfile.ZipFile(tflite_path, "a") as archive:
        entry = zipfile.ZipInfo(_LABELS, date_time=_DATE)
        archive.writestr(entry, "".join(f"{name}\n" for name in class_names))


def read_labels(tflite_path):
    """The class names that travel in a file, in the order of the logits."""
    with zipfile.ZipFile(tflite_path) as archive:
        return archive.read(_LABELS).decode().splitlines()


def _last_words(done):
    if done.returncode < 0:
        return f"the converter died of {signal.Signals(-done.returncode).name}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {done.returncode}"


def _convert(model_path, tflite_path, example_shape, mean, std):
    import keras
    import tensorflow as tf

    from kd_tf.data.streaming import Normalization
    from kd_tf.teachers import load_classifier

    model = load_classifier(model_path)
    normalize = Normalization(mean, std)
    image = tf.TensorSpec((1, *example_shape), tf.uint8, INPUT_NAME)
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        lambda x: {OUTPUT_NAME: model(normalize(x), training=False)},
        input_signature=[image],
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
