"""The losses by name, and what each of them needs."""

import dataclasses
import functools
from collections.abc import Callable

from kd_tf.distillation.adapters import (
    MaskedGenerationAdapter,
    ShapeAdapter,
    VarianceAdapter,
)
from kd_tf.losses import feature, relation, response


@dataclasses.dataclass(frozen=True)
class LossSpec:
    """What a loss needs.

    Attributes:
        function: The loss.
        knowledge: "response", "feature", "relation", or "custom".
        equal: What an adapter must make equal of two layers.
        adapter: The adapter that does it.
        needs_grid: Whether vectors, which have no grid, tell it nothing.
        num_layers: Number of consecutive layers it looks at together.
        is_whole: Whether it takes all answers at once and gives a scalar, as
            Keras's own distillation losses do.
        takes_logits: Whether probabilities would make it wrong in silence.
    """

    function: Callable
    knowledge: str
    equal: tuple[str, ...] = ()
    adapter: type = ShapeAdapter
    needs_grid: bool = False
    num_layers: int = 1
    is_whole: bool = False
    takes_logits: bool = False


BOTH = ("width", "grid")
_LOGITS = functools.partial(LossSpec, knowledge="response", takes_logits=True)
LOSSES = {
    "soft_targets": _LOGITS(response.soft_target_loss),
    "logit_matching": _LOGITS(response.logit_matching_loss),
    "decoupled": _LOGITS(response.decoupled_loss),
    "dist": _LOGITS(response.dist_loss),
    "weighted_soft_labels": _LOGITS(response.weighted_soft_label_loss),
    "sigmoid_targets": _LOGITS(response.sigmoid_target_loss),
    "value_matching": LossSpec(response.value_matching_loss, "response"),
    "teacher_bounded": LossSpec(response.teacher_bounded_loss, "response"),
    "hint": LossSpec(feature.hint_loss, "feature", BOTH),
    "attention_transfer": LossSpec(
        feature.attention_transfer_loss, "feature", ("grid",), needs_grid=True
    ),
    "fsp": LossSpec(
        feature.fsp_loss, "feature", ("width",), needs_grid=True, num_layers=2
    ),
    "channel_wise": LossSpec(
        feature.channel_wise_loss, "feature", BOTH, needs_grid=True
    ),
    "neuron_selectivity": LossSpec(
        feature.neuron_selectivity_loss, "feature", ("grid",), needs_grid=True
    ),
    "variational_information": LossSpec(
        feature.variational_information_loss,
        "feature",
        BOTH,
        VarianceAdapter,
    ),
    "masked_generation": LossSpec(
        feature.hint_loss,
        "feature",
        BOTH,
        MaskedGenerationAdapter,
        needs_grid=True,
    ),
    "inter_channel": LossSpec(
        feature.inter_channel_loss, "feature", ("width",), needs_grid=True
    ),
    "rkd_distance": LossSpec(relation.rkd_distance_loss, "relation"),
    "rkd_angle": LossSpec(relation.rkd_angle_loss, "relation"),
    "similarity_preserving": LossSpec(
        relation.similarity_preserving_loss, "relation"
    ),
    "correlation_congruence": LossSpec(
        relation.correlation_congruence_loss, "relation"
    ),
    "probabilistic_transfer": LossSpec(
        relation.probabilistic_transfer_loss, "relation"
    ),
    "contrastive": LossSpec(relation.contrastive_loss, "relation", BOTH),
}
