"""Loads saved models, and checks that a model fits the data.

Shapes: B examples; "..." axes of one example or of one target; C outputs.
"""

import os
from collections.abc import Hashable, Sequence
from typing import Any

import keras
import numpy as np

# Keras finds layers of our own by their registered names.
from kd_tf.models import log_mel, position_embedding  # noqa: F401
from kd_tf.models.graph import output_operations


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Loads a `.keras` file without running code that it may contain.

    Raises:
        ValueError: if the file is not a model, or one that only unsafe
            loading opens.
    """
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{path} cannot be loaded. It must be a `.keras` file of Keras 3 "
            "that loads with safe_mode=True: no Lambda layers, no classes of "
            f"your own. Received: {type(error).__name__}: {reason}"
        ) from error


def check_model(
    model: keras.Model,
    examples: np.ndarray,
    *,
    output_shape: Sequence[int],
    name: str,
    logits: bool = True,
) -> None:
    """Checks that a model runs on the data, and outputs what is needed.

    Args:
        model: `keras.Model`.
        examples: Float array (B, ...), normalized as in training.
        output_shape: Shape of the output for one example, (..., C).
        name: What to call the model in messages: "The teacher".
        logits: Whether the output must be logits, not probabilities; False
            for the values of a regression.

    Raises:
        ValueError: if the model does not take these examples, has an output
            of another shape, outputs probabilities, NaN or infinity.
    """
    outputs = _outputs(model, examples, name)
    shape = tuple(getattr(outputs, "shape", ()))
    if shape != (len(examples), *output_shape):
        unit = "one logit for each class" if logits else "one number a value"
        raise ValueError(
            f"{name} has the wrong output shape. It must be {unit}, "
            f"{('B', *output_shape)}. Received: output of shape "
            f"{('B', *shape[1:])}"
        )
    outputs = np.asarray(outputs, dtype="float32")
    if not np.isfinite(outputs).all():
        raise ValueError(
            f"{name} has outputs that are not finite. Check its weights, and "
            "that examples are normalized as in its training. Received: NaN "
            "or infinity"
        )
    if not logits:
        return
    refuse_probabilities(model, name)
    if _are_probabilities(outputs):
        raise ValueError(_PROBABILITIES.format(name=name, activation="softmax"))


def _outputs(model: keras.Model, examples: np.ndarray, name: str) -> Any:
    try:
        return model(examples, training=False)
    except Exception as error:
        raise ValueError(
            f"{name} does not take the examples. Its input must have shape "
            f"{('B', *examples.shape[1:])}. Received: a model with input of "
            f"shape {getattr(model, 'input_shape', 'unknown')}"
        ) from error


def refuse_probabilities(
    model: keras.Model, name: str, *, output: Hashable = None
) -> None:
    """Checks that a model is not seen to end in softmax or sigmoid.

    Args:
        model: `keras.Model`; nothing is checked without a symbolic graph.
        name: What to call it in messages: "The teacher".
        output: Name or index of the only output that matters, or None.

    Raises:
        ValueError: if it does.
    """
    for key, operations in output_operations(model).items():
        if output is not None and key != output:
            continue
        activation = _activation(operations[-1])
        if activation in ("softmax", "sigmoid"):
            raise ValueError(
                _PROBABILITIES.format(name=name, activation=activation)
            )


_PROBABILITIES = (
    "{name} ends in {activation}, but must output logits, the values before "
    "it. Rebuild the last layer with activation=None and copy its weights. "
    "Received: probabilities"
)


def _activation(operation: keras.Operation) -> str:
    """Name of the function that an operation applies last, in lower case."""
    activation = getattr(operation, "activation", None)
    return getattr(activation, "__name__", type(operation).__name__).lower()


def _are_probabilities(outputs: np.ndarray) -> bool:
    # Catches a softmax that the graph does not show. One column always sums
    # to itself, and rows of logits hardly ever to one.
    sums_to_one = np.allclose(outputs.sum(axis=-1), 1, atol=1e-3)
    return bool(outputs.shape[-1] > 1 and (outputs >= 0).all() and sums_to_one)
