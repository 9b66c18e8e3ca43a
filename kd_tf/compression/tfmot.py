"""The parts of TensorFlow Model Optimization that are free of Keras."""

import os

_LEGACY = os.environ.get("TF_USE_LEGACY_KERAS")
from tensorflow_model_optimization.python.core.sparsity.keras import (  # noqa: E402
    pruning_impl,
    pruning_schedule,
)

# Importing it asks for the Keras of old, for this process and its children.
if _LEGACY is None:
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
else:
    os.environ["TF_USE_LEGACY_KERAS"] = _LEGACY

__all__ = ["pruning_impl", "pruning_schedule"]
