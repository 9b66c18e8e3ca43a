"""What all sections of a config have in common, and how they are derived.

A section that sets arguments of a function takes their types, ranges,
defaults and descriptions from the function's own signature (`kd_tf.specs`).
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from kd_tf.ranges import ArgumentsOf, PathOnDisk, Positive
from kd_tf.specs import COMPUTED, REQUIRED, Argument, read_arguments

SectionType = TypeVar("SectionType", bound="Section")


class Section(BaseModel):
    """Keys with their types and ranges; unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for key in values:
            if key not in cls.model_fields:
                # Carries the key and its neighbours, for the message.
                raise PydanticCustomError(
                    "unknown_key",
                    "unknown key",
                    {"key": key, "allowed": list(cls.model_fields)},
                )
        return values

    def arguments_for(self, function: str) -> dict[str, Any]:
        """{name: value} of the keys that are arguments of a function.

        Args:
            function: `"package.module:function"`.
        """
        arguments = read_arguments(function)
        return self.values_of(
            {n: a for n, a in arguments.items() if n in type(self).model_fields}
        )

    def values_of(self, arguments: Mapping[str, Argument]) -> dict[str, Any]:
        """{name: value} of keys that are arguments of a function.

        Those whose default only the function knows are left to it.
        """
        values = {name: getattr(self, name) for name in arguments}
        return {
            name: _plain(value)
            for name, value in values.items()
            if value is not None or arguments[name].default is not COMPUTED
        }


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, Section) else value


class Ramp(Section):
    """A number that changes while training goes on, and then stays."""

    start: float = Field(ge=0, description="Value at the first step.")
    end: float = Field(ge=0, description="Value after `epochs`.")
    epochs: Positive = Field(description="How long the change takes.")
    shape: typing.Literal["linear", "cosine"] = Field(
        default="linear", description="Straight line, or half a cosine."
    )


def number_or_ramp(number: Any) -> Any:
    """Type of a number that may change while training goes on.

    Args:
        number: Type of the number, with its range.
    """
    ramp = create_model("Ramp", __base__=Ramp, start=(number, ...))
    ramp = create_model("Ramp", __base__=ramp, end=(number, ...))
    return Annotated[
        Annotated[number, Tag("number")] | Annotated[ramp, Tag("ramp")],
        Discriminator(_number_or_ramp_tag),
    ]


def _number_or_ramp_tag(value: Any) -> str:
    return "ramp" if isinstance(value, (dict, Ramp)) else "number"


def section_of(
    title: str,
    arguments: Mapping[str, Argument],
    *,
    base: type[SectionType],
    fixed: Mapping[str, str] | None = None,
    as_ramps: bool = False,
) -> type[SectionType]:
    """A section whose keys are arguments of a function, beside those of `base`.

    Args:
        title: Name of the section's class.
        arguments: As `Spec.arguments` has them.
        base: Section with further keys; they come first.
        fixed: {key of the base: its only value}.
        as_ramps: Whether numbers may be ramps, and may be left out.
    """
    fields: dict[str, Any] = {
        name: _field(argument, as_ramps=as_ramps)
        for name, argument in arguments.items()
        if name not in base.model_fields
    }
    for name in fields:
        if name.startswith("_") or name in dir(base):
            raise ValueError(
                f"argument '{name}' of '{title}' cannot be a key of a config. "
                f"Give it another name. Received: {name}"
            )
    for key, value in (fixed or {}).items():
        fields[key] = typing.Literal[value], base.model_fields[key]
    try:
        return create_model(title, __base__=base, **fields)
    except Exception:  # of types that only Python can make values of
        anything: dict[str, Any] = {
            key: (Any, field) for key, (_, field) in fields.items()
        }
        return create_model(title, __base__=base, **anything)


def _field(argument: Argument, *, as_ramps: bool) -> tuple[Any, Any]:
    kind, default = argument.annotation, argument.default
    nested = next(marks(kind, ArgumentsOf), None)
    if nested is not None:
        section = arguments_section(nested.function)
        return section, Field(
            default_factory=section, description=argument.description
        )
    if as_ramps:
        return number_or_ramp(kind) | None, Field(
            default=None,
            description=f"{argument.description} By default {default}.",
        )
    if default is COMPUTED:
        return kind | None, Field(
            default=None,
            description=f"{argument.description} By default the function's.",
        )
    if default is None:
        kind = kind | None  # which its author may have left out
    return kind, Field(
        default=... if default is REQUIRED else default,
        description=argument.description,
    )


@functools.cache
def arguments_section(function: str) -> type[Section]:
    """The section of all arguments of a function or class.

    Args:
        function: `"package.module:function"`.
    """
    title = function.rpartition(":")[2]
    return section_of(title, read_arguments(function), base=Section)


def marks(kind: Any, mark: type[Any]) -> Iterator[Any]:
    """Marks of a class in an annotation, however deep it is nested."""
    for inner in (*typing.get_args(kind), *getattr(kind, "__metadata__", ())):
        if isinstance(inner, mark):
            yield inner
        else:
            yield from marks(inner, mark)


def path_mark(kind: Any, metadata: list[Any]) -> PathOnDisk | None:
    """How a field names a path, if it does."""
    for mark in metadata:
        if isinstance(mark, PathOnDisk):
            return mark
    return next(marks(kind, PathOnDisk), None)


@dataclasses.dataclass(frozen=True)
class ChosenBy:
    """Marks a section whose other keys depend on the value of one.

    Attributes:
        choose: Function from the dict that was given to the section's class,
            which then checks all of it.
        choices: Function returning the classes of all rows of the table, for
            the JSON Schema.
    """

    choose: Callable[[dict[str, Any]], type[Section]]
    choices: Callable[[], list[type[Section]]]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_wrap_validator_function(
            self._validate,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda section, info: section.model_dump(mode=info.mode),
                info_arg=True,
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "anyOf": [
                handler(choice.__pydantic_core_schema__)
                for choice in self.choices()
            ]
        }

    def _validate(self, value: Any, handler: Callable[[Any], Any]) -> Any:
        if not isinstance(value, dict):
            return handler(value)
        return self.choose(value).model_validate(value)


def always(section: type[Section]) -> ChosenBy:
    """Marks a section whose class is made while the program runs."""
    return ChosenBy(lambda given: section, lambda: [section])
