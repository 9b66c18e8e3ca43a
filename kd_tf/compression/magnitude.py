"""Pruning by magnitude: masks over the smallest weights, during training."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kd_tf.compression.cubic_ramp import CubicRamp, cubic_schedule
from kd_tf.compression.kernel_masks import RampedMask, state_variable
from kd_tf.compression.masking import PRUNABLE, KernelMasking, sparsity_of
from kd_tf.compression.recovery import Recovery
from kd_tf.models.graph import layers_with_weights
from kd_tf.ranges import Count, Share
from kd_tf.results import CompressionRecord, LayerRecord


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


class MagnitudePruning(KernelMasking):
    """Zeroes the smallest weights of every kernel, in place, while it trains.

    Sparsity rises by a cubic schedule over the first `ramp_steps`, in at most
    some 50 updates of the masks; then the masks hold. Each kernel is pruned
    on its own, so no layer is emptied for another's sake. Biases,
    normalization, embeddings and depthwise kernels, which are small and
    easily hurt, stay whole. Works with whatever trains the model, a
    `Distiller` for one.

    Masks are applied inside every training step and belong to the kernels:
    they hold in each later `fit` of the model too, after another `compile`,
    with this callback or without, until `release()`. With an optimizer that
    averages weights (`use_ema=True`) give the callback to every `fit`, since
    Keras puts the averages into the model after the last step. A saved model
    is a plain one; `KeepZeros` keeps the zeros of one that was loaded.

    Steps are counted from the first that is trained with this callback,
    whatever the optimizer's count; several calls of `fit` continue the ramp.

    Args:
        model: `keras.Model` to prune.
        sparsity: Final share of zeros in every pruned kernel, in [0, 1).
        ramp_steps: Training steps until that share is reached, at least 1.
        skip: Names of layers to leave whole.

    Raises:
        ValueError: if an argument is out of range, a name in `skip` is no
            layer that could be pruned, or nothing is left to prune.

    Warns:
        UserWarning: at the end of a training in which `sparsity` was not
            reached, or after which weights of an earlier epoch were put back,
            such as by `EarlyStopping(restore_best_weights=True)`; set its
            `start_from_epoch` to the first epoch after the ramp.

    Example:
        model.compile("adam", loss)
        model.fit(dataset, epochs=10)
        pruning = MagnitudePruning(model, sparsity=0.8, ramp_steps=1000)
        model.fit(dataset, epochs=4, callbacks=[pruning])
        model.compile(keras.optimizers.SGD(1e-3), loss)
        model.fit(dataset, epochs=2, callbacks=[pruning])  # masks hold
        print(pruning.record().sparsity)
        model.save("pruned.keras")

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
        self._sparsity = sparsity
        self._schedule = cubic_schedule(sparsity, ramp_steps)
        strategy = model.distribute_strategy
        self._is_active = state_variable(tf.constant(0, tf.int64), strategy)
        self._ramped_masks = [
            RampedMask(kernel, strategy, self._schedule, self._is_active)
            for kernel in self._kernels()
        ]
        super().__init__(self._ramped_masks)

    @property
    def variables(self) -> list[tf.Variable]:
        """All that a training must restore to be resumed: masks, progress."""
        return [*self.masks, *(mask.step for mask in self._ramped_masks)]

    @property
    def schedule(self) -> CubicRamp:
        """Function from the step to the sparsity of every pruned kernel."""
        return CubicRamp(self._schedule)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Attaches the masks, and counts steps from here on."""
        super().on_train_begin(logs)
        self._is_active.assign(1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Fixes the masks, and warns if the sparsity was not reached."""
        self._is_active.assign(0)
        super().on_train_end(logs)
        if any(map(self._is_unfinished, self._ramped_masks)):
            self._warn_of_unfinished()

    def record(self) -> CompressionRecord:
        """Counts the zeros of every layer with weights, as they are now.

        Returns:
            `CompressionRecord`; layers that were not pruned carry the reason.
        """
        layers = [self._layer_record(layer) for layer in self._layers]
        zeros = sum(layer.zeros for layer in layers)
        weights = sum(layer.weights for layer in layers)
        return CompressionRecord(layers, zeros / weights)

    def _is_unfinished(self, mask: RampedMask) -> bool:
        return mask.num_steps < self._schedule.end_step

    def _warn_of_unfinished(self) -> None:
        masks = [m for m in self._ramped_masks if self._is_unfinished(m)]
        reached = min(sparsity_of(mask.kernel) for mask in masks)
        warnings.warn(
            f"Training ended at a sparsity of {reached:.3g} instead of "
            f"{self._sparsity:.3g}, after "
            f"{min(mask.num_steps for mask in masks)} of the "
            f"{self._schedule.end_step} steps of the ramp. Fit on with the "
            "same callback, or lower `ramp_steps`; kernels that the optimizer "
            "never updates belong in `skip`. Received: "
            + ", ".join(
                f"{mask.kernel.path} after {mask.num_steps} steps"
                for mask in masks
            ),
            stacklevel=3,
        )

    def _layer_record(self, layer: keras.Layer) -> LayerRecord:
        reason = self._reason_to_skip(layer)
        return LayerRecord(
            layer=layer.path,
            weights=sum(int(tf.size(w)) for w in layer.weights),
            zeros=sum(_count_zeros(w) for w in layer.weights),
            kernel_sparsity=None if reason else sparsity_of(layer.kernel),
            skipped=reason,
        )

    def _reason_to_skip(self, layer: keras.Layer) -> str | None:
        if layer.name in self._skip:
            return "named in skip"
        if not isinstance(layer, PRUNABLE):
            return f"{type(layer).__name__} is not pruned"
        if not layer.trainable:
            return "frozen"
        return None

    def _kernels(self) -> list[keras.Variable]:
        names = {x.name for x in self._layers if isinstance(x, PRUNABLE)}
        unknown = sorted(self._skip - names)
        if unknown:
            raise ValueError(
                f"`skip` names no layer with a kernel: {', '.join(unknown)}. "
                f"Allowed: {', '.join(sorted(names))}. "
                f"Received: skip={sorted(self._skip)}"
            )
        kernels = [
            layer.kernel
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


def _count_zeros(weights: keras.Variable) -> int:
    return int(tf.math.count_nonzero(weights == 0))
