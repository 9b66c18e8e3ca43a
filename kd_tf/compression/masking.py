"""Callbacks under which masks of kernels hold, through training and after."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from kd_tf.compression.kernel_masks import KernelMask
from kd_tf.models.graph import layers_with_weights

PRUNABLE = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


class KernelMasking(keras.callbacks.Callback):
    """Attaches masks to kernels when training begins, and leaves them there.

    From then on they hold in every training of the model, with this callback
    or without, until `release`. Moving averages of weights are masked too.

    Args:
        kernel_masks: The masks.
    """

    def __init__(self, kernel_masks: Sequence[KernelMask]) -> None:
        super().__init__()
        self._kernel_masks = list(kernel_masks)
        self._train_function: Any = None

    @property
    def masks(self) -> list[tf.Variable]:
        """One mask for each kernel, of its shape: 1 to keep, 0 to prune."""
        return [kernel_mask.mask for kernel_mask in self._kernel_masks]

    def apply_masks(self) -> None:
        """Masks the kernels as they are now.

        Needed only after weights were set from outside a training.
        """
        for kernel_mask in self._kernel_masks:
            kernel_mask.apply(kernel_mask.kernel)

    def release(self) -> None:
        """Lets go of the kernels, so that pruned weights may grow back."""
        for kernel_mask in self._kernel_masks:
            kernel_mask.release()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Attaches the masks."""
        for kernel_mask in self._kernel_masks:
            kernel_mask.attach()
        if self.model.train_function is not self._train_function:
            # A step that was compiled before knows nothing of the masks.
            self.model.make_train_function(force=True)
            self._train_function = self.model.train_function

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Masks moving averages, which may be what is evaluated."""
        self._mask_averages()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """Masks moving averages, which Keras puts into the model at the end."""
        self._mask_averages()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Masks weights that other callbacks put back after training."""
        self._mask_restored()
        # Those that come after this one in the list may put weights back
        # still. Keras's own `History` is called after all that were given.
        history = getattr(self.model, "history", None)
        if history is not None:
            _call_once(history, "on_train_end", self._mask_restored)

    def _mask_averages(self) -> None:
        averages = dict(_moving_averages(self.model.optimizer))
        for kernel_mask in self._kernel_masks:
            average = averages.get(id(kernel_mask.kernel))
            if average is not None:
                kernel_mask.apply(average)
                # `SwapEMAWeights` may have exchanged the two.
                kernel_mask.apply(kernel_mask.kernel)

    def _mask_restored(self) -> None:
        escaped = sum(mask.count_escaped() for mask in self._kernel_masks)
        if not escaped:
            return
        self.apply_masks()
        warnings.warn(
            "Weights of an epoch with a lower sparsity were put back after "
            "training, and have been masked without recovery. Let no epoch be "
            "chosen before the masks are final, such as by "
            "EarlyStopping(start_from_epoch=...). Received: "
            f"{escaped} weights that were not zero where the masks are",
            stacklevel=2,
        )


class KeepZeros(KernelMasking):
    """Keeps at zero what is zero, to fine-tune a pruned model that was loaded.

    Takes the zeros in the kernels of dense and convolutional layers, as they
    are when it is made; a kernel of nothing but zeros is left alone. A model
    that `MagnitudePruning` pruned in this process needs no other callback.

    Args:
        model: `keras.Model` to fine-tune.

    Raises:
        ValueError: if there are no zeros to keep.

    Example:
        model = keras.models.load_model("pruned.keras")
        model.compile("adam", loss)
        model.fit(dataset, callbacks=[KeepZeros(model)])
    """

    def __init__(self, model: keras.Model) -> None:
        kernels = [
            layer.kernel
            for layer in layers_with_weights(model)
            if isinstance(layer, PRUNABLE) and layer.trainable
        ]
        sparse = [kernel for kernel in kernels if 0 < sparsity_of(kernel) < 1]
        if not sparse:
            raise ValueError(
                "There are no zeros to keep. Prune the model first, such as "
                "by `MagnitudePruning`. Received: "
                f"{len(kernels)} trainable kernels without zeros"
            )
        masks = [KernelMask(k, model.distribute_strategy) for k in sparse]
        for kernel_mask, kernel in zip(masks, sparse, strict=True):
            kept = tf.cast(kernel.value != 0, kernel.dtype)
            kernel_mask.mask.assign(kept)
        super().__init__(masks)


def sparsity_of(kernel: keras.Variable) -> float:
    """Fraction of zeros, in [0, 1]."""
    size = tf.size(kernel.value, tf.int64)
    return float(1 - tf.math.count_nonzero(kernel.value) / size)


def _moving_averages(optimizer: Any) -> Iterator[tuple[int, keras.Variable]]:
    """(id of a weight, its moving average) of all that an optimizer keeps."""
    # Of LossScaleOptimizer and MultiOptimizer, which hold others.
    inner = getattr(optimizer, "inner_optimizer", None)
    for other in getattr(optimizer, "optimizers", [inner] if inner else []):
        yield from _moving_averages(other)
    # Keras has no public name for them.
    averages = getattr(optimizer, "_model_variables_moving_average", ())
    for weight, average in zip(
        optimizer._trainable_variables, averages, strict=False
    ):
        if average is not None:
            yield id(weight), average


def _call_once(callback: Any, method: str, function: Any) -> None:
    """Has a function called with the next call of a callback's method."""
    former = getattr(callback, method)

    def call(*args: Any, **kwargs: Any) -> None:
        setattr(callback, method, former)
        former(*args, **kwargs)
        function()

    setattr(callback, method, call)
