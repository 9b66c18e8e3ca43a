"""The losses by name, and what each of them needs.

To add a loss: write a function of two tensors that gives one value an
example, and add a row here. Reading the table starts no TensorFlow.
"""

import dataclasses
import functools
from typing import Any, ClassVar, Literal

from kd_tf.entry_points import load_entry_point
from kd_tf.specs import Argument, Spec, Table

_ADAPTERS = "kd_tf.distillation.adapters"


@dataclasses.dataclass(frozen=True)
class LossSpec(Spec):
    """What a loss compares, and what it needs for that.

    Attributes:
        function: `"package.module:function"`; its first two parameters are
            the tensors of student and teacher.
        knowledge: What it compares: "response" the outputs of two models,
            "feature" inner layers, "relation" the examples of a batch among
            each other, by outputs or by layers; "custom" is unknown.
        outputs: What the outputs it compares must be: "logits" of classes,
            "values" of quantities, or "any".
        takes_logits: Whether probabilities would make it wrong in silence.
        uses_softmax: Whether it compares softmax(logits / temperature), so
            that the entropy of the teacher's says how soft the targets are.
        equal: What an adapter must make equal of two layers, out of "width"
            and "grid".
        adapter: `"package.module:Class"` of the adapter that does it.
        needs_grid: Whether vectors, which have no grid, make no sense to it.
        num_layers: Number of consecutive layers that it looks at together.
        takes_all_outputs: Whether it takes all outputs of a model at once
            and gives a scalar, as Keras's own distillation losses do.
        title: What tables call it, with its paper.
    """

    # The data, the adapter, the student's Keras mask and the step fill these
    # in.
    supplied: ClassVar[tuple[str, ...]] = (
        *("labels", "raw_variance"),
        *("mask", "training"),
    )

    knowledge: Literal["response", "feature", "relation", "custom"] = "custom"
    outputs: Literal["logits", "values", "any"] = "any"
    takes_logits: bool = False
    uses_softmax: bool = False
    equal: tuple[Literal["width", "grid"], ...] = ()
    adapter: str = f"{_ADAPTERS}:ShapeAdapter"
    needs_grid: bool = False
    num_layers: int = 1
    takes_all_outputs: bool = False
    title: str = ""

    @property
    def arguments(self) -> dict[str, Argument]:
        """{name: argument} of all that a user may set, in order."""
        # The first two are the tensors, whatever their names.
        return dict(list(super().arguments.items())[2:])

    @property
    def takes_pairs(self) -> bool:
        """Whether it can look at layer pairs."""
        return self.knowledge != "response"

    @property
    def requires_pairs(self) -> bool:
        """Whether it can look at nothing but layer pairs."""
        return self.knowledge == "feature"

    @property
    def takes_transform(self) -> bool:
        """Whether logits may be transformed on their way into it."""
        takes = self.knowledge in ("response", "custom")
        return takes and not self.takes_all_outputs

    @property
    def settable(self) -> tuple[str, ...]:
        """Names of all that may be set about it, its arguments last."""
        return (
            "weight",
            *(("pairs",) if self.takes_pairs else ()),
            *(("transform",) if self.takes_transform else ()),
            *self.arguments,
        )

    def fits(self, output_name: str) -> bool:
        """Whether it can compare the outputs of a task.

        Args:
            output_name: "logits" or "values", as `Task.output_name`.
        """
        return self.outputs in ("any", output_name)

    def load_adapter(self) -> Any:
        """Imports the class of the adapter."""
        return load_entry_point(self.adapter, "adapter")


def custom_spec(function: str) -> LossSpec:
    """The spec of a function that has no row.

    Args:
        function: `"package.module:function"`.
    """
    title = function.rpartition(":")[-1]
    return LossSpec(function, equal=_BOTH, title=title)


_BOTH: tuple[Literal["width", "grid"], ...] = ("width", "grid")
_FEATURE = "kd_tf.losses.feature"
_RELATION = "kd_tf.losses.relation"
_RESPONSE = "kd_tf.losses.response"
_VALUES = "kd_tf.losses.values"
_of_logits = functools.partial(
    LossSpec, knowledge="response", outputs="logits", takes_logits=True
)
_of_values = functools.partial(LossSpec, knowledge="response", outputs="values")
_of_layers = functools.partial(LossSpec, knowledge="feature")
_of_examples = functools.partial(LossSpec, knowledge="relation")

LOSSES: Table[LossSpec] = Table(
    "loss",
    {
        "soft_targets": _of_logits(
            f"{_RESPONSE}:soft_target_loss",
            uses_softmax=True,
            title="soft targets (Hinton 2015)",
        ),
        # Its arithmetic would do for quantities, too.
        "logit_matching": _of_logits(
            f"{_RESPONSE}:logit_matching_loss",
            outputs="any",
            title="logit matching (Ba 2014)",
        ),
        "decoupled": _of_logits(
            f"{_RESPONSE}:decoupled_loss",
            uses_softmax=True,
            title="decoupled, DKD (Zhao 2022)",
        ),
        "dist": _of_logits(
            f"{_RESPONSE}:dist_loss",
            uses_softmax=True,
            title="correlations, DIST (Huang 2022)",
        ),
        "weighted_soft_labels": _of_logits(
            f"{_RESPONSE}:weighted_soft_label_loss",
            uses_softmax=True,
            title="weighted soft labels, WSLD (Zhou 2021)",
        ),
        "sigmoid_targets": _of_logits(
            f"{_RESPONSE}:sigmoid_target_loss",
            title="sigmoid targets (Yang 2023)",
        ),
        "value_matching": _of_values(
            f"{_VALUES}:value_matching_loss",
            title="value matching (Saputra 2019)",
        ),
        "teacher_bounded": _of_values(
            f"{_VALUES}:teacher_bounded_loss",
            title="teacher bounded (Chen 2017)",
        ),
        "hint": _of_layers(
            f"{_FEATURE}:hint_loss",
            equal=_BOTH,
            title="hints, FitNets (Romero 2014)",
        ),
        "attention_transfer": _of_layers(
            f"{_FEATURE}:attention_transfer_loss",
            equal=("grid",),
            needs_grid=True,
            title="attention transfer (Zagoruyko 2016)",
        ),
        "fsp": _of_layers(
            f"{_FEATURE}:fsp_loss",
            equal=("width",),
            needs_grid=True,
            num_layers=2,
            title="flow between layers, FSP (Yim 2017)",
        ),
        "channel_wise": _of_layers(
            f"{_FEATURE}:channel_wise_loss",
            equal=_BOTH,
            needs_grid=True,
            title="channel-wise, CWD (Shu 2021)",
        ),
        "neuron_selectivity": _of_layers(
            f"{_FEATURE}:neuron_selectivity_loss",
            equal=("grid",),
            needs_grid=True,
            title="neuron selectivity, NST (Huang 2017)",
        ),
        "variational_information": _of_layers(
            f"{_FEATURE}:variational_information_loss",
            equal=_BOTH,
            adapter=f"{_ADAPTERS}:VarianceAdapter",
            title="variational information, VID (Ahn 2019)",
        ),
        "masked_generation": _of_layers(
            f"{_FEATURE}:hint_loss",
            equal=_BOTH,
            adapter=f"{_ADAPTERS}:MaskedGenerationAdapter",
            needs_grid=True,
            title="masked generation, MGD (Yang 2022)",
        ),
        "inter_channel": _of_layers(
            f"{_FEATURE}:inter_channel_loss",
            equal=("width",),
            adapter=f"{_ADAPTERS}:ProjectionWithNorm",
            needs_grid=True,
            title="inter-channel correlation, ICKD (Liu 2021)",
        ),
        "rkd_distance": _of_examples(
            f"{_RELATION}:rkd_distance_loss",
            title="relational distances, RKD (Park 2019)",
        ),
        "rkd_angle": _of_examples(
            f"{_RELATION}:rkd_angle_loss",
            title="relational angles, RKD (Park 2019)",
        ),
        "similarity_preserving": _of_examples(
            f"{_RELATION}:similarity_preserving_loss",
            title="similarity preserving, SP (Tung 2019)",
        ),
        "correlation_congruence": _of_examples(
            f"{_RELATION}:correlation_congruence_loss",
            title="correlation congruence, CC (Peng 2019)",
        ),
        "probabilistic_transfer": _of_examples(
            f"{_RELATION}:probabilistic_transfer_loss",
            title="probabilistic transfer, PKT (Passalis 2018)",
        ),
        "contrastive": _of_examples(
            f"{_RELATION}:contrastive_loss",
            equal=_BOTH,
            title="contrastive, CRD (Tian 2020)",
        ),
    },
    own=custom_spec,
)
