"""Loads models, and checks that they can be used."""

import keras
import numpy as np

# Keras finds layers of our own by their registered names.
from kd_tf.models import log_mel, position_embedding  # noqa: F401
from kd_tf.models.graph import answering_operations


def load_model(path):
    """Loads a `.keras` file without running code that it may carry.

    Raises:
        ValueError: if it is no model, or one that only unsafe loading opens.
    """
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"{path} cannot be loaded. Allowed: a `.keras` file of Keras 3 "
            "that loads with safe_mode=True (no Lambda layers, no classes of "
            f"your own). Received: {type(error).__name__}: {reason}"
        ) from error


def check_model(model, examples, answer_shape, name, *, logits=True):
    """Refuses a model that cannot teach or learn here, and says why.

    Args:
        model: `keras.Model`.
        examples: Float array (B, ...), normalized as in training.
        answer_shape: Shape wanted of one answer, (..., C).
        name: What to call the model in a message.
        logits: Whether probabilities would be wrong.

    Raises:
        ValueError: if the model does not take these examples, does not answer
            in this shape, answers probabilities, or answers NaN.
    """
    try:
        answers = model(examples, training=False)
    except Exception as error:
        raise ValueError(
            f"{name} does not take the examples. Allowed: input of shape "
            f"{('B', *examples.shape[1:])}. Received: a model whose input is "
            f"{getattr(model, 'input_shape', 'unknown')}"
        ) from error
    shape = tuple(getattr(answers, "shape", ()))
    if shape != (len(examples), *answer_shape):
        what = "a logit for each class" if logits else "one number a value"
        raise ValueError(
            f"{name} has the wrong output width. Allowed: {what}, "
            f"{('B', *answer_shape)}. Received: output of shape "
            f"{('B', *shape[1:])}"
        )
    answers = np.asarray(answers, dtype="float32")
    if not np.isfinite(answers).all():
        raise ValueError(
            f"{name} does not answer with numbers. Allowed: finite answers. "
            "Received: NaN or infinity on the validation examples"
        )
    if not logits:
        return
    refuse_probabilities(model, name)
    if _are_probabilities(answers):
        raise ValueError(_PROBABILITIES.format(name=name, what="softmax"))


def refuse_probabilities(model, name, output=None):
    """Refuses a model that is seen to end in softmax or sigmoid.

    Args:
        model: `keras.Model`; of one without a symbolic graph nothing is seen.
        name: What to call it in a message.
        output: Name or index of the only answer that matters, or None.

    Raises:
        ValueError: if it does.
    """
    for key, operations in answering_operations(model).items():
        if output is not None and key != output:
            continue
        what = _activation(operations[-1])
        if what in ("softmax", "sigmoid"):
            raise ValueError(_PROBABILITIES.format(name=name, what=what))


_PROBABILITIES = (
    "{name} ends in {what}. Allowed: logits, the values before {what}. "
    "Received: probabilities; rebuild the last layer with activation=None and "
    "copy its weights"
)


def _activation(operation):
    """Name of what an operation applies last, in small letters."""
    activation = getattr(operation, "activation", None)
    return getattr(activation, "__name__", type(operation).__name__).lower()


def _are_probabilities(answers):
    sums_to_one = np.allclose(answers.sum(axis=-1), 1, atol=1e-3)
    return answers.shape[-1] > 1 and (answers >= 0).all() and sums_to_one
