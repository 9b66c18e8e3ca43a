"""Files of variables' values, written atomically and checked when read."""

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

Variable = Any  # of Keras or of TensorFlow
Logs = dict[str, float]

# Raised when what stands in a file, or its order, changes.
_LAYOUT = 2


class DamagedFileError(Exception):
    """A file is missing or damaged, or its variables are others."""


def write_arrays(
    path: str, variables: Sequence[Variable], history: Sequence[Logs] = ()
) -> None:
    """Writes variables in their order, and a history.

    Args:
        path: File to write; another of that name is replaced.
        variables: The variables.
        history: The logs of each epoch.
    """
    arrays = {str(i): variable.numpy() for i, variable in enumerate(variables)}
    # Written beside and then renamed, so that a kill leaves the old file.
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        np.savez(
            file, layout=_LAYOUT, history=json.dumps(list(history)), **arrays
        )
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read_arrays(
    path: str, variables: Sequence[Variable]
) -> tuple[list[np.ndarray], list[Logs]]:
    """Reads what `write_arrays` wrote, without assigning it.

    Args:
        path: The file.
        variables: Those that were written, as many, of the same shapes.

    Returns:
        The values in the order of `variables`, and the history.

    Raises:
        DamagedFileError: if the file is missing, damaged, of an earlier
            layout, or of other variables.
    """
    try:
        with open(path, "rb") as file, np.load(file) as arrays_by_name:
            stored = dict(arrays_by_name)
            history = json.loads(str(stored.pop("history")))
            layout = int(stored.pop("layout", 1))
            arrays = [stored[str(i)] for i in range(len(stored))]
    # Zip, NumPy and JSON raise errors of a dozen types for damaged bytes.
    except Exception as error:
        raise DamagedFileError(f"{path}, {error!r}") from error
    shapes = [array.shape for array in arrays]
    if layout != _LAYOUT:
        raise DamagedFileError(f"{path}, layout {layout}, not {_LAYOUT}")
    if shapes != [tuple(variable.shape) for variable in variables]:
        raise DamagedFileError(f"{path}, with variables of another model")
    return arrays, history


def assign(variables: Sequence[Variable], arrays: Sequence[np.ndarray]) -> None:
    """Assigns values to variables."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
