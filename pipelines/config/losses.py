"""The keys of a distillation loss, by its name."""

import dataclasses
import functools
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_serializer, model_validator

from kd_tf.distillation.loss_table import LOSSES, LossSpec
from kd_tf.ranges import NonNegative, Positive
from pipelines.config.base import (
    ChosenBy,
    Section,
    number_or_ramp,
    section_of,
)

Temperature = number_or_ramp(Positive)
Number = number_or_ramp(NonNegative)


class Loss(Section):
    """A distillation loss: its name, its weight, and the arguments it has.

    What is left out has the default of the loss; the temperature of a loss
    between outputs, that of the section `distill`.
    """

    name: str = Field(
        description="A loss by name, or 'package.module:function'."
    )
    weight: Number = Field(  # type: ignore[valid-type]
        default=1.0, description="Its weight among the distillation losses."
    )

    @field_validator("name")
    @classmethod
    def _loss_exists(cls, name: str) -> str:
        LOSSES.find(name)
        return name

    @property
    def spec(self) -> LossSpec:
        """The loss's row in the table."""
        return LOSSES.find(self.name)

    def get(self, key: str) -> Any:
        """The value of a key, None if the loss has no such key."""
        return getattr(self, key, None)

    @property
    def arguments(self) -> dict[str, Any]:
        """{name: value} of the arguments that were given."""
        given = {
            key: value
            for key, value in self
            if key not in _NOT_ARGUMENTS and value is not None
        }
        return {**given, **(self.get("args") or {})}

    @model_serializer(mode="wrap")
    def _leave_out_what_was_left_out(self, serialize: Any) -> dict[str, Any]:
        return {k: v for k, v in serialize(self).items() if v is not None}


class _WithTransform(Loss):
    transform: Literal["standardize"] | None = Field(
        default=None,
        description="What is done to the logits of both models before.",
    )


class _WithPairs(Loss):
    pairs: Any = Field(
        default=None,
        description="'auto', or [[student layer, teacher layer], ...].",
    )

    @field_validator("pairs")
    @classmethod
    def _pairs_are_pairs(cls, pairs: Any) -> Any:
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
    def _layers_are_named(self) -> "_WithPairs":
        if self.spec.requires_pairs and self.pairs is None:
            raise ValueError(
                f"loss '{self.name}' compares layers. Add pairs: auto, or "
                "pairs: [[student layer, teacher layer], ...]. Received: no "
                "pairs"
            )
        return self


class OwnLoss(_WithTransform, _WithPairs):
    """A function of the user's own, `(student, teacher, ...)`."""

    name: Annotated[str, Field(pattern=":")]
    temperature: Temperature | None = Field(  # type: ignore[valid-type]
        default=None, description="The function's argument of that name."
    )
    args: dict[str, Any] | None = Field(
        default=None, description="Other arguments of the function."
    )

    @model_validator(mode="after")
    def _args_are_other_arguments(self) -> "OwnLoss":
        for key in sorted({*(self.args or ())} & {*OwnLoss.model_fields}):
            raise ValueError(
                f"args has the key '{key}', which has a place of its own: "
                f"write {key} beside args. Received: args={self.args!r}"
            )
        return self


_NOT_ARGUMENTS = {"name", "weight", "pairs", "transform", "args"}


def choose_loss(given: dict[str, Any]) -> type[Loss]:
    """The section of the loss that a dict names."""
    name = given.get("name")
    if not isinstance(name, str) or (name not in LOSSES and ":" not in name):
        return _Unknown
    if name not in LOSSES:
        return OwnLoss
    return loss_section(name, LOSSES[name])


@functools.cache
def loss_section(name: str, spec: LossSpec) -> type[Loss]:
    """The section of one row of the table."""
    base: type[Loss] = Loss
    if spec.takes_pairs:
        base = _WithPairs
    elif spec.takes_transform:
        base = _WithTransform
    arguments = spec.arguments
    if spec.knowledge == "response" and "temperature" in arguments:
        shared = dataclasses.replace(
            arguments["temperature"], default="`distill.temperature`"
        )
        arguments = {**arguments, "temperature": shared}
    return section_of(
        name, arguments, base=base, fixed={"name": name}, as_ramps=True
    )


class _Unknown(Loss):
    """Of a name that is in no table: the name is what gets reported."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, values: Any) -> Any:
        return {key: values[key] for key in values if key in Loss.model_fields}


def _all_losses() -> list[type[Section]]:
    return [
        *(loss_section(name, spec) for name, spec in LOSSES.items()),
        OwnLoss,
    ]


AnyLoss = Annotated[Loss, ChosenBy(choose_loss, _all_losses)]
