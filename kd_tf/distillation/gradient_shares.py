"""How much each loss moves a student, by the norms of its gradients.

Shapes: B examples, C classes.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from kd_tf.distillation.taps import Forward
from kd_tf.distillation.teachers.frozen import without_gradient
from kd_tf.models.graph import outputs_by_name
from kd_tf.schedules import value_at

Distiller = Any
Tensor = Any


@dataclasses.dataclass(frozen=True)
class GradientShares:
    """Gradients of the losses on one batch.

    Attributes:
        shares: {loss: share of the summed gradient norms in [0, 1]}, weighted
            as in training; all 0 where there is no gradient.
        weights: {loss: its factor at this step}.
        student_weight: Weight of the label loss at this step.
        is_dead: Whether the student's outputs are the same for all examples
            and no kernel gets a gradient.
        has_variables: Whether the student has anything to train.
        idle_adapters: Layer pairs whose adapters get no gradient.
    """

    shares: dict[str, float]
    weights: dict[str, float]
    student_weight: float
    is_dead: bool = False
    has_variables: bool = True
    idle_adapters: list[str] = dataclasses.field(default_factory=list)


def run_both(distiller: Distiller, x: Any) -> tuple[Forward, Forward]:
    """Runs student and teacher as an evaluation does, one pass each.

    Args:
        distiller: `Distiller`.
        x: Inputs, B examples.
    """
    # Inference mode: statistics and random states stay as they are.
    student = distiller.tapped_student(x, training=False)
    if distiller.teacher is distiller.student:
        return student, without_gradient(student, training=False)
    return student, distiller.frozen_teacher(x)


def gradient_shares(
    distiller: Distiller, x: Any, y: Any, sample_weight: Any
) -> GradientShares:
    """Measures the gradients of all losses, without changing the student.

    Args:
        distiller: `Distiller`.
        x: Inputs, B examples.
        y: Labels, or None.
        sample_weight: Weights, or None.
    """
    with tf.GradientTape(persistent=True) as tape:
        student, teacher = run_both(distiller, x)
        losses = distiller.reduced_losses(x, y, student, teacher, sample_weight)
        weights = distiller.loss_weights(losses)
        weighted = {name: weights[name] * loss for name, loss in losses.items()}
        # Uncompiled, it may lack the loss on labels that `combine` needs.
        total = (
            distiller.combine(losses)
            if distiller.compiled
            else sum(weighted.values())
        )
    variables = distiller.student.trainable_variables
    gradients = {
        name: tape.gradient(loss, variables) for name, loss in weighted.items()
    }
    norms = {name: _norm(of_loss) for name, of_loss in gradients.items()}
    whole = sum(norms.values())
    reach_kernel = whole != 0 and any(
        _norm(g for g in of_loss if g is not None and len(g.shape) > 1) != 0
        for of_loss in gradients.values()
    )
    return GradientShares(
        {k: v / whole if whole else 0.0 for k, v in norms.items()},
        {name: float(weight) for name, weight in weights.items()},
        float(value_at(distiller.student_weight, distiller.step)),
        is_dead=not reach_kernel and _is_constant(student.outputs),
        has_variables=bool(variables),
        idle_adapters=_idle_adapters(distiller, tape, total),
    )


def _idle_adapters(
    distiller: Distiller, tape: tf.GradientTape, total: Tensor
) -> list[str]:
    return [
        f"{bound_loss.name}: {' -> '.join(pair)}"
        for bound_loss in distiller.bound_losses
        for pair, adapter in zip(
            bound_loss.pairs, bound_loss.adapters, strict=True
        )
        if adapter.trainable_variables
        and _norm(tape.gradient(total, adapter.trainable_variables)) == 0
    ]


def _is_constant(outputs: Any) -> bool:
    """Whether all outputs are the same for every one of several examples."""
    by_name: Mapping[Any, Tensor] = outputs_by_name(outputs)
    for values in by_name.values():
        values = tf.cast(values, tf.float32)
        spread = tf.reduce_max(tf.abs(values - values[:1]))
        scale = tf.reduce_max(tf.abs(values))
        if values.shape[0] < 2 or not spread <= 1e-6 * scale:
            return False
    return True


def _norm(gradients: Iterable[Any]) -> float:
    return float(tf.linalg.global_norm([g for g in gradients if g is not None]))
