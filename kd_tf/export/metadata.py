"""What travels inside a `.tflite` file beside the network."""

import zipfile

_LABELS = "labels.txt"


# A fixed date, so that the same model gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


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
