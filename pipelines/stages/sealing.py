"""The file that may be released: what was verified is what ships."""

import os
import shutil

from kd_tf.export.metadata import add_labels
from pipelines.state import CANDIDATE, Run


def seal(run: Run, tflite_path: str, scratch: str) -> dict[str, str]:
    """Copies a file and adds the class names to it.

    Args:
        run: The run.
        tflite_path: The file to be released.
        scratch: Folder to write into.

    Returns:
        {name in the run folder: path}.
    """
    path = os.path.join(scratch, os.path.basename(CANDIDATE))
    shutil.copyfile(tflite_path, path)
    add_labels(path, run.data.class_names)
    return {CANDIDATE: path}
