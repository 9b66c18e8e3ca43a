"""Pruning by magnitude: masks over the smallest weights, during training."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kd_tf.compression.recovery import Recovery
from kd_tf.models.graph import layers_with_weights
from kd_tf.ranges import Count, Share
from kd_tf.results import CompressionRecord, LayerRecord

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


def prune_by_magnitude(
    model: keras.Model,
    recover: Recovery,
    *,
    sparsity: Share = 0.5,
    ramp_epochs: Count = 2,
    skip: Sequence[str] = (),
) -> tuple[keras.Model, CompressionRecord]:
    """Zeroes the smallest weights of every kernel while the model trains on.

    Args:
        model: `keras.Model` to prune, in place.
        recover: `Recovery` that trains it; it must train for more than
            `ramp_epochs`.
        sparsity: Final share of zeros in every pruned kernel.
        ramp_epochs: Epochs until that share is reached; the epochs after them
            are recovery, and the best of those is kept.
        skip: Names of layers to leave whole.

    Returns:
        The model, and a record of every layer with weights.

    Raises:
        ValueError: as `MagnitudePruning` does, or if no epoch is left for
            recovery.
    """
    if not ramp_epochs < recover.epochs:
        raise ValueError(
            "`ramp_epochs` must be less than the epochs of the training, to "
            f"leave time to recover. Received: ramp_epochs={ramp_epochs}, "
            f"epochs={recover.epochs}"
        )
    pruning = MagnitudePruning(
        model,
        sparsity=sparsity,
        ramp_steps=recover.steps_per_epoch * ramp_epochs,
        skip=skip,
    )
    recover(
        model,
        [pruning],
        variables=pruning.variables,
        first_eligible_epoch=ramp_epochs,
        schedules={"sparsity": pruning.schedule},
    )
    return model, pruning.record()


class MagnitudePruning(keras.callbacks.Callback):
    """Zeroes the smallest weights of every kernel, in place, while it trains.

    Sparsity rises by a cubic schedule over the first `ramp_steps`, in at most
    50 updates of the masks; then the masks hold. Each kernel is pruned on its
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

    def __init__(
        self,
        model: keras.Model,
        *,
        sparsity: float,
        ramp_steps: int,
        skip: Iterable[str] = (),
    ) -> None:
        super().__init__()
        if not 0 <= sparsity < 1:
            raise ValueError(
                f"`sparsity` must be in [0, 1). Received: sparsity={sparsity}"
            )
        if not ramp_steps >= 1:
            raise ValueError(
                "`ramp_steps` must be at least 1. "
                f"Received: ramp_steps={ramp_steps}"
            )
        self._layers = layers_with_weights(model)
        self._skip = set(skip)
        kernels = self._kernels()
        self.masks = [
            tf.Variable(tf.ones(kernel.shape, kernel.dtype), trainable=False)
            for kernel in kernels
        ]
        self._schedule = _schedule(sparsity, ramp_steps)
        self._step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self._last_update = tf.Variable(0, dtype=tf.int64, trainable=False)
        # TFMOT keeps the threshold of every kernel; nothing here reads it.
        thresholds = [tf.Variable(0.0, trainable=False) for _ in kernels]
        self._pruning = pruning_impl.Pruning(
            lambda: self._step,
            list(zip(kernels, self.masks, thresholds, strict=True)),
            self._schedule,
            block_size=(1, 1),
            block_pooling_type="AVG",
        )

    @property
    def variables(self) -> list[tf.Variable]:
        """All that a training must restore to be resumed: masks, progress."""
        return [*self.masks, self._last_update]

    @property
    def schedule(self) -> "CubicRamp":
        """Function from the step to the sparsity of every pruned kernel."""
        return CubicRamp(self._schedule)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Updates the masks if that is due, and applies them."""
        self._apply(self.model.optimizer.iterations.value)

    @tf.function
    def _apply(self, iterations: tf.Tensor) -> None:
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

    def record(self) -> CompressionRecord:
        """Counts the zeros of every layer with weights, as they are now.

        Returns:
            `CompressionRecord`; layers that were not pruned carry the reason.
        """
        layers = [self._layer_record(layer) for layer in self._layers]
        zeros = sum(layer.zeros for layer in layers)
        weights = sum(layer.weights for layer in layers)
        return CompressionRecord(layers, zeros / weights)

    def _layer_record(self, layer: keras.Layer) -> LayerRecord:
        reason = self._reason_to_skip(layer)
        return LayerRecord(
            layer=layer.path,
            weights=sum(int(tf.size(w)) for w in layer.weights),
            zeros=sum(_count_zeros(w) for w in layer.weights),
            kernel_sparsity=None if reason else _sparsity(layer.kernel.value),
            skipped=reason,
        )

    def _reason_to_skip(self, layer: keras.Layer) -> str | None:
        if layer.name in self._skip:
            return "named in skip"
        if not isinstance(layer, _PRUNABLE):
            return f"{type(layer).__name__} is not pruned"
        if not layer.trainable:
            return "frozen"
        return None

    def _kernels(self) -> list[tf.Variable]:
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
                "There is nothing to prune. The model needs a trainable dense "
                "or convolutional layer that is not in `skip`. Received: "
                f"layers {', '.join(x.name for x in self._layers)}"
            )
        return kernels


class CubicRamp:
    """Function from the step to the sparsity that TFMOT prunes to.

    Args:
        schedule: TFMOT's schedule, which returns whether a step is one of
            those that update the masks, and the sparsity.
    """

    def __init__(self, schedule: pruning_schedule.PolynomialDecay) -> None:
        self._schedule = schedule

    def __call__(self, step: Any) -> tf.Tensor:
        """The sparsity at a step, a float32 scalar tensor."""
        _, sparsity = self._schedule(step)
        return sparsity


def _schedule(
    sparsity: float, ramp_steps: int
) -> pruning_schedule.PolynomialDecay:
    # The last update must fall on the last step of the ramp, or the final
    # sparsity would never be reached.
    frequency = max(1, ramp_steps // _MASK_UPDATES)
    last = ramp_steps // frequency * frequency
    return pruning_schedule.PolynomialDecay(
        0.0, sparsity, begin_step=0, end_step=last, frequency=frequency
    )


def _count_zeros(weights: keras.Variable) -> int:
    return int(tf.math.count_nonzero(weights == 0))


def _sparsity(kernel: tf.Variable) -> float:
    size = tf.size(kernel, tf.int64)
    return float(1 - tf.math.count_nonzero(kernel) / size)
