"""Class names inside a `.tflite` file, beside the network."""

import os
import zipfile
from collections.abc import Sequence

_LABELS = "labels.txt"
# A fixed date, so that the same model gives the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


def add_labels(
    tflite_path: str | os.PathLike[str], class_names: Sequence[str]
) -> None:
    """Packs the class names into the file, as `labels.txt`.

    They are appended as a zip archive, the convention of associated files:
    runtimes do not see it, `unzip` and Android's tools do.

    Args:
        tflite_path: The file, changed in place.
        class_names: One name for each class, in the order of the logits.

    Reference:
        https://ai.google.dev/edge/litert/conversion/tensorflow/metadata
    """
    with zipfile.ZipFile(tflite_path, "a") as archive:
        entry = zipfile.ZipInfo(_LABELS, date_time=_DATE)
        archive.writestr(entry, "".join(f"{name}\n" for name in class_names))


def read_labels(tflite_path: str | os.PathLike[str]) -> list[str]:
    """Reads the class names that `add_labels` packed into a file.

    Args:
        tflite_path: The file.

    Returns:
        One name for each class, in the order of the logits.
    """
    with zipfile.ZipFile(tflite_path) as archive:
        return archive.read(_LABELS).decode().splitlines()
