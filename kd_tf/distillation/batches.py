"""Batches out of data in every form that `fit` takes.

Shapes: B examples.
"""

import itertools
import numbers
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_BATCH_SIZE = 32  # of arrays, as in `fit`


def batches(
    data: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    steps: int | None = None,
    batch_size: int | None = None,
) -> Iterator[Any]:
    """Lists batches as tensors: x, (x, y) or (x, y, sample weights).

    Args:
        data: Inputs as arrays or tensors, nested as the model takes them,
            first axis the examples; a tuple (x, y) or (x, y, sample weights)
            of such; or a `tf.data.Dataset`, a `keras.utils.PyDataset`, a
            generator or another iterable of batches.
        y: Labels, arrays; with inputs as arrays alone.
        sample_weight: Weights, arrays; with inputs as arrays alone.
        steps: Number of batches at most; None for all.
        batch_size: B, of arrays alone; 32 if None.

    Returns:
        Iterator of batches.

    Raises:
        ValueError: if an argument is out of its range, does not belong to
            this form of data, lengths differ, or data without an end comes
            without `steps`.
    """
    _check_positive("steps", steps)
    _check_positive("batch_size", batch_size)
    if y is None and sample_weight is None and _is_iterable(data):
        if batch_size is not None:
            raise ValueError(
                "`batch_size` is for arrays; this data comes in batches. "
                f"Leave it out. Received: batch_size={batch_size}"
            )
        some = _of_iterable(data, steps)
    elif _is_iterable(data) and not isinstance(data, (list, tuple)):
        raise ValueError(
            "`y` and `sample_weight` belong to inputs as arrays; this data "
            "brings its own. Leave them out. Received: "
            f"{type(data).__name__}"
        )
    else:
        some = _of_arrays(data, y, sample_weight, batch_size or _BATCH_SIZE)
    # Takes no batch out of a generator beyond the last one needed.
    return map(_tensors, itertools.islice(some, steps))


def _is_iterable(data: Any) -> bool:
    """Whether data is made of batches, not of arrays."""
    if isinstance(data, tuple):
        # A tuple of tuples can only be batches.
        return bool(data) and all(isinstance(part, tuple) for part in data)
    return not isinstance(data, dict) and not _is_array(data)


def _is_array(x: Any) -> bool:
    return tf.is_tensor(x) or hasattr(x, "__array__")


def _of_iterable(data: Iterable[Any], steps: int | None) -> Iterable[Any]:
    if isinstance(data, keras.utils.PyDataset):
        count = data.num_batches
        is_endless = count is None
        numbers_of_batches = itertools.count() if is_endless else range(count)
        some: Iterable[Any] = (data[i] for i in numbers_of_batches)
    else:
        is_endless = isinstance(data, tf.data.Dataset) and (
            data.cardinality() == tf.data.INFINITE_CARDINALITY
        )
        some = data
    if is_endless and steps is None:
        raise ValueError(
            "The data has no end. Set `steps`, the number of batches to use. "
            "Received: steps=None"
        )
    if not isinstance(some, Iterable):
        raise ValueError(
            "Data must be arrays, (x, y), or an iterable of batches, as "
            f"`fit` takes them. Received: {type(data).__name__}"
        )
    return some


def _of_arrays(
    data: Any, y: Any, sample_weight: Any, batch_size: int
) -> Iterator[Any]:
    if isinstance(data, tuple) and y is None and sample_weight is None:
        data, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    arrays = keras.tree.map_structure(
        _array, keras.utils.pack_x_y_sample_weight(data, y, sample_weight)
    )
    flat = [a for a in keras.tree.flatten(arrays) if a is not None]
    lengths = sorted({len(a) for a in flat})
    if len(lengths) != 1:
        raise ValueError(
            "All arrays must have the same number of examples. Received: "
            f"lengths {lengths}"
        )
    return (
        keras.tree.map_structure(
            lambda a, i=i: None if a is None else a[i : i + batch_size],
            arrays,
        )
        for i in range(0, lengths[0], batch_size)
    )


def _array(x: Any) -> Any:
    if x is None or tf.is_tensor(x):
        return x
    array = np.asarray(x)
    # As `fit` does, so that what is computed is what is trained.
    is_double = array.dtype == np.float64
    return array.astype(keras.config.floatx()) if is_double else array


def _tensors(batch: Any) -> Any:
    # As `fit` does: losses between layers take no weights but tensors.
    return keras.tree.map_structure(
        lambda x: (
            tf.convert_to_tensor(np.asarray(x))
            if hasattr(x, "__array__") and not tf.is_tensor(x)
            else x
        ),
        batch,
    )


def _check_positive(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, numbers.Integral) or not int(value) >= 1:
        raise ValueError(
            f"`{name}` must be a whole number, 1 or more. "
            f"Received: {name}={value!r}"
        )
