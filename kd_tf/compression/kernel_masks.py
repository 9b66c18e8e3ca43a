"""Masks that a kernel carries with it, whatever trains it.

Keras applies a variable's `constraint` at the end of each of the optimizer's
updates, after weight decay and moving averages, inside the compiled training
step. A mask set there holds under every optimizer, every trainer and every
strategy. It is set on the variable, not on the layer: no config names it, so
saved models know nothing of it.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kd_tf.compression.tfmot import pruning_impl, pruning_schedule


class KernelMask:
    """Keeps the weights of one kernel at zero where its mask is zero.

    Args:
        kernel: The kernel; must be trainable.
        strategy: `tf.distribute.Strategy` that the kernel was made under.
    """

    def __init__(
        self, kernel: keras.Variable, strategy: tf.distribute.Strategy
    ) -> None:
        self.kernel = kernel
        ones = tf.ones(kernel.shape, kernel.dtype)
        self.mask = state_variable(ones, strategy)
        self._inner: Callable[[Any], Any] | None = None

    def __call__(self, kernel: keras.Variable) -> tf.Tensor:
        """The masked kernel; called by the optimizer after each update."""
        if self._inner is not None:
            kernel.assign(self._inner(kernel))
        self.update()
        return kernel.value * self.mask

    def update(self) -> None:
        """Changes the mask, if it changes at all."""

    def apply(self, variable: keras.Variable) -> None:
        """Masks a variable of the kernel's shape, now."""
        variable.assign(variable.value * self.mask)

    def count_escaped(self) -> int:
        """Number of weights that differ from zero, though masked."""
        escaped = (self.mask == 0) & (self.kernel.value != 0)
        return int(tf.math.count_nonzero(escaped))

    def attach(self) -> None:
        """Starts to hold, after what constraint the kernel has already."""
        if self not in _chain(self.kernel):
            self._inner = self.kernel.constraint
            self.kernel.constraint = self

    def release(self) -> None:
        """Holds no more; the kernel's former constraint is back."""
        # Training steps that are compiled already contain the mask.
        self.mask.assign(tf.ones_like(self.mask))
        chain = _chain(self.kernel)
        if self not in chain:
            return
        if chain[0] is self:
            self.kernel.constraint = self._inner
        else:
            chain[chain.index(self) - 1]._inner = self._inner
        self._inner = None


class RampedMask(KernelMask):
    """Mask over the smallest weights of a kernel, by a schedule of sparsity.

    It counts the updates of its kernel itself: an optimizer's count may begin
    anywhere, and does anew with each `compile`.

    Args:
        kernel: The kernel; must be trainable.
        strategy: `tf.distribute.Strategy` that the kernel was made under.
        schedule: TFMOT's schedule.
        is_active: Integer variable: 1 while steps are counted and masks
            change, 0 while they hold.
    """

    def __init__(
        self,
        kernel: keras.Variable,
        strategy: tf.distribute.Strategy,
        schedule: pruning_schedule.PruningSchedule,
        is_active: tf.Variable,
    ) -> None:
        super().__init__(kernel, strategy)
        self.step = state_variable(tf.constant(0, tf.int64), strategy)
        self._is_active = is_active
        # TFMOT keeps the threshold of every kernel; nothing here reads it.
        threshold = state_variable(tf.zeros((), kernel.dtype), strategy)
        self._pruning = pruning_impl.Pruning(
            self._step_if_active,
            [(kernel.value, self.mask, threshold)],
            schedule,
            block_size=(1, 1),
            block_pooling_type="AVG",
        )

    @property
    def num_steps(self) -> int:
        """Number of steps counted so far."""
        return int(self.step.numpy())

    def update(self) -> None:
        """Counts the step, and updates the mask if that is due."""
        self.step.assign_add(self._is_active.read_value())
        self._pruning.conditional_mask_update()

    def release(self) -> None:
        """Holds no more, and is as new."""
        super().release()
        self.step.assign(0)

    def _step_if_active(self) -> tf.Tensor:
        # No mask is updated at step -1.
        never = tf.constant(-1, tf.int64)
        return tf.where(self._is_active > 0, self.step, never)


def state_variable(
    value: tf.Tensor, strategy: tf.distribute.Strategy
) -> tf.Variable:
    """Variable that is not trained, with a copy for each replica."""
    with strategy.scope():
        return tf.Variable(
            value,
            trainable=False,
            # All replicas assign the same value.
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )


def _chain(kernel: keras.Variable) -> list[KernelMask]:
    """The masks of a kernel, the last attached first."""
    masks, constraint = [], kernel.constraint
    while isinstance(constraint, KernelMask):
        masks.append(constraint)
        constraint = constraint._inner
    return masks
