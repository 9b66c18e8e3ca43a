"""What a config may say of a distillation loss.

Which arguments a loss has is written here once more, in brief, so that a
wrong config is answered without starting TensorFlow; a test holds the two
together.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


def check_name(name, names):
    """Refuses what is neither one of the names nor a function's place."""
    if name not in names and ":" not in name:
        raise ValueError(
            f"must be one of {', '.join(names)}, or 'package.module:function'"
        )
    return name


class Ramp(Section):
    """A number that changes while training goes on, and then stays."""

    start: float = Field(ge=0)
    end: float = Field(ge=0)
    epochs: float = Field(gt=0)
    shape: Literal["linear", "cosine"] = "linear"


class TemperatureRamp(Ramp):
    start: float = Field(gt=0)
    end: float = Field(gt=0)


class ShareRamp(Ramp):
    start: float = Field(ge=0, le=1)
    end: float = Field(ge=0, le=1)


def _number_or(ramp, **bounds):
    return Annotated[
        Annotated[float, Field(**bounds), Tag("number")]
        | Annotated[ramp, Tag("ramp")],
        Discriminator(_which),
    ]


def _which(value):
    return "ramp" if isinstance(value, (dict, Ramp)) else "number"


Weight = _number_or(Ramp, ge=0)
Temperature = _number_or(TemperatureRamp, gt=0)
StudentWeight = _number_or(ShareRamp, ge=0, le=1)

_ON_ANSWERS = {"transform"}
_ON_LAYERS = {"pairs"}
LOSS_ARGUMENTS = {
    "soft_targets": {"temperature", *_ON_ANSWERS},
    "logit_matching": _ON_ANSWERS,
    "decoupled": {"temperature", "alpha", "beta", *_ON_ANSWERS},
    "dist": {"temperature", "beta", "gamma", *_ON_ANSWERS},
    "weighted_soft_labels": {"temperature", *_ON_ANSWERS},
    "sigmoid_targets": {"temperature", *_ON_ANSWERS},
    "value_matching": _ON_ANSWERS,
    "teacher_bounded": {"margin", *_ON_ANSWERS},
    "hint": _ON_LAYERS,
    "attention_transfer": _ON_LAYERS,
    "fsp": _ON_LAYERS,
    "channel_wise": {"temperature", *_ON_LAYERS},
    "neuron_selectivity": _ON_LAYERS,
    "variational_information": _ON_LAYERS,
    "masked_generation": _ON_LAYERS,
    "inter_channel": _ON_LAYERS,
    "rkd_distance": _ON_LAYERS,
    "rkd_angle": _ON_LAYERS,
    "similarity_preserving": _ON_LAYERS,
    "correlation_congruence": {"gamma", *_ON_LAYERS},
    "probabilistic_transfer": _ON_LAYERS,
    "contrastive": {"temperature", *_ON_LAYERS},
}
# Losses that take answers for scores of classes, or for quantities.
CLASSES_ONLY = (
    "soft_targets",
    "decoupled",
    "dist",
    "weighted_soft_labels",
    "sigmoid_targets",
)
VALUES_ONLY = ("value_matching", "teacher_bounded")
# Losses that nothing can be said to without layers.
COMPARE_LAYERS = (
    "hint",
    "attention_transfer",
    "fsp",
    "channel_wise",
    "neuron_selectivity",
    "variational_information",
    "masked_generation",
    "inter_channel",
)


class Loss(Section):
    """A distillation loss, its weight, and the arguments it has.

    What is left out has the default of the loss; its temperature, where it
    compares answers, that of the section `distill`.
    """

    name: str  # one of LOSS_ARGUMENTS, or "package.module:function"
    weight: Weight = 1.0
    pairs: Any = None  # "auto", or [[student layer, teacher layer], ...]
    transform: Literal["standardize"] | None = None
    temperature: Temperature | None = None
    alpha: float | None = Field(default=None, ge=0)
    beta: float | None = Field(default=None, ge=0)
    gamma: float | None = Field(default=None, ge=0)
    margin: float | None = Field(default=None, ge=0)
    args: dict[str, Any] | None = None  # of a function of your own

    @field_validator("name")
    @classmethod
    def _loss_exists(cls, name):
        return check_name(name, LOSS_ARGUMENTS)

    @field_validator("pairs")
    @classmethod
    def _pairs_are_pairs(cls, pairs):
        is_list = isinstance(pairs, list) and all(
            isinstance(pair, list)
            and len(pair) == 2
            and all(isinstance(layer, str) for layer in pair)
            for pair in pairs
        )
        if pairs is None or pairs == "auto" or (is_list and pairs):
            return pairs
        raise ValueError(
            "must be auto, or a list of [student layer, teacher layer]"
        )

    @model_validator(mode="after")
    def _arguments_are_of_the_loss(self):
        has = LOSS_ARGUMENTS.get(
            self.name, {"pairs", "transform", "temperature", "args"}
        )
        given = {
            key
            for key in self.model_fields_set - {"name", "weight"}
            if getattr(self, key) is not None
        }
        for key in sorted(given - has):
            raise ValueError(
                f"loss '{self.name}' has no key '{key}'. Allowed: "
                f"{', '.join(sorted({'weight', *has}))}. Received: "
                f"{key}={getattr(self, key)!r}"
            )
        for key in sorted({*(self.args or ())} & {"name", "weight", *has}):
            raise ValueError(
                f"args has the key '{key}', which has a place of its own. "
                f"Allowed: {key} beside args. Received: args={self.args!r}"
            )
        if self.name in COMPARE_LAYERS and self.pairs is None:
            raise ValueError(
                f"loss '{self.name}' compares layers. Allowed: pairs: auto, "
                "or pairs: [[student layer, teacher layer], ...]. Received: "
                "no pairs"
            )
        return self

    @model_serializer(mode="wrap")
    def _say_what_is_said(self, serialize):
        return {k: v for k, v in serialize(self).items() if v is not None}
