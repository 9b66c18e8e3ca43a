"""Masks over the smallest weights, while training goes on."""

import os

import keras
import tensorflow as tf

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

_PRUNABLE = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_MASK_UPDATES = 50


class MagnitudePruning(keras.callbacks.Callback):
    """Zeroes the smallest weights of every kernel, in place, while it trains.

    Sparsity rises by a cubic schedule over the first `ramp_steps`, in at most
    50 updates of the masks; then the masks hold. Each kernel is cut on its
    own, so no layer is emptied for another's sake. Biases, normalization,
    embeddings and depthwise kernels, which are small and easily hurt, stay
    whole. Works with whatever trains the model, a `Distiller` for one.

    Args:
        model: `keras.Model` to prune.
        sparsity: Final share of zeros in every pruned kernel, in [0, 1).
        ramp_steps: Steps until that share is reached, at least 1.
        skip: Names of layers to leave whole.

    Raises:
        ValueError: if an argument is out of range, a name in `skip` is no
            layer that could be pruned, or nothing is left to prune.

    Reference:
        Zhu and Gupta, 2017, https://arxiv.org/abs/1710.01878, section 3.
    """

    def __init__(self, model, *, sparsity, ramp_steps, skip=()):
        super().__init__()
        if not 0 <= sparsity < 1:
            raise ValueError(
                f"`sparsity` must lie in [0, 1). Received: sparsity={sparsity}"
            )
        if not ramp_steps >= 1:
            raise ValueError(
                "`ramp_steps` must be at least 1. "
                f"Received: ramp_steps={ramp_steps}"
            )
        self._layers = _layers_with_weights(model)
        self._skip = set(skip)
        kernels = self._kernels()
        self.masks = [
            tf.Variable(tf.ones(kernel.shape, kernel.dtype), trainable=False)
            for kernel in kernels
        ]
        self._schedule = _schedule(sparsity, ramp_steps)
        self._step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self._last_update = tf.Variable(0, dtype=tf.int64, trainable=False)
        thresholds = [tf.Variable(0.0, trainable=False) for _ in kernels]
        self._pruning = pruning_impl.Pruning(
            lambda: self._step,
            list(zip(kernels, self.masks, thresholds, strict=True)),
            self._schedule,
            block_size=(1, 1),
            block_pooling_type="AVG",
        )

    @property
    def variables(self):
        """All that a training must get back to go on: masks and progress."""
        return [*self.masks, self._last_update]

    def on_train_batch_end(self, batch, logs=None):
        self._apply(self.model.optimizer.iterations.value)

    @tf.function
    def _apply(self, iterations):
        # Keras may report several steps at once and pass over the one at
        # which an update is due, so the latest that is due is made up for.
        frequency, end = self._schedule.frequency, self._schedule.end_step
        due = tf.minimum(
            tf.cast(iterations, tf.int64) // frequency * frequency, end
        )
        never = tf.constant(-1, tf.int64)
        self._step.assign(tf.where(due > self._last_update, due, never))
        self._last_update.assign(due)
        self._pruning.conditional_mask_update()
        self._pruning.weight_mask_op()

    def record(self):
        """What was pruned and what was not.

        Returns:
            Dict: `layers`, for every layer with weights its name, share of
            zeros in its kernel, and the reason if it was skipped; `sparsity`,
            the share of zeros among all weights of the model.
        """
        rows = [self._row(layer) for layer in self._layers]
        zeros = sum(row["zeros"] for row in rows)
        return {
            "layers": rows,
            "sparsity": zeros / sum(row["weights"] for row in rows),
        }

    def _row(self, layer):
        zeros = sum(int(tf.math.count_nonzero(w == 0)) for w in layer.weights)
        weights = sum(tf.size(w).numpy() for w in layer.weights)
        row = {"layer": layer.path, "weights": int(weights), "zeros": zeros}
        reason = self._reason_to_skip(layer)
        if reason:
            return {**row, "skipped": reason}
        kernel = layer.kernel
        share = 1 - tf.math.count_nonzero(kernel.value) / tf.size(
            kernel.value, tf.int64
        )
        return {**row, "kernel_sparsity": float(share)}

    def _reason_to_skip(self, layer):
        if layer.name in self._skip:
            return "named in skip"
        if not isinstance(layer, _PRUNABLE):
            return f"{type(layer).__name__} is not pruned"
        if not layer.trainable:
            return "frozen"
        return None

    def _kernels(self):
        names = {x.name for x in self._layers if isinstance(x, _PRUNABLE)}
        unknown = sorted(self._skip - names)
        if unknown:
            raise ValueError(
                f"`skip` names no layer with a kernel: {', '.join(unknown)}. "
                f"Allowed: {', '.join(sorted(names))}. "
                f"Received: skip={sorted(self._skip)}"
            )
        kernels = [
            layer.kernel.value
            for layer in self._layers
            if self._reason_to_skip(layer) is None
        ]
        if not kernels:
            raise ValueError(
                "There is nothing to prune. Allowed: a model with a trainable "
                "dense or convolutional layer that is not in `skip`. "
                f"Received: {', '.join(x.name for x in self._layers)}"
            )
        return kernels


def _layers_with_weights(model):
    """Innermost layers that own weights, nested models opened."""
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if layer.weights and not list(_children(layer))
    ]
    return list(dict.fromkeys(layers))


def _children(layer):
    return (
        child
        for child in layer._flatten_layers(include_self=False)
        if child.weights
    )


def _schedule(sparsity, ramp_steps):
    # The last update must fall on the last step of the ramp, or the final
    # sparsity would never be reached.
    frequency = max(1, ramp_steps // _MASK_UPDATES)
    last = ramp_steps // frequency * frequency
    return pruning_schedule.PolynomialDecay(
        0.0, sparsity, begin_step=0, end_step=last, frequency=frequency
    )
