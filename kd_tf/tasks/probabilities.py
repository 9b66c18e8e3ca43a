"""Logits to probabilities, in NumPy."""

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """Computes probabilities of classes of which exactly one is true.

    Args:
        logits: Float array (..., C).

    Returns:
        Float32 array (..., C), its last axis summing to 1.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    exp = np.exp(shifted, dtype="float32")
    return exp / exp.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Computes probabilities of classes that are true independently.

    Args:
        logits: Float array of any shape.

    Returns:
        Float32 array of the same shape.
    """
    # The form with tanh cannot overflow.
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype("float32")
