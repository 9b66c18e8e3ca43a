"""The section `data`: where examples come from, how they are split and shown.

The keys of a source are the arguments of its function.
"""

import functools
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from kd_tf.data.sources import SOURCES, SourceSpec
from kd_tf.ranges import Count
from kd_tf.results import Moments
from kd_tf.specs import read_arguments
from pipelines.config.base import ChosenBy, Section, always, section_of

SPLIT_SETTINGS = "kd_tf.data.splitting.assignment:SplitSettings"
AUGMENTATION = "kd_tf.data.augmentation:Augmentation"
_SOUND_SCALE = 32768.0  # of int16

Scale = float | list[float] | Literal["auto"]
Augment = section_of(
    "Augment",
    {
        name: argument
        for name, argument in read_arguments(AUGMENTATION).items()
        if name != "num_classes"
    },
    base=Section,
)
_Splitting = section_of(
    "Splitting", read_arguments(SPLIT_SETTINGS), base=Section
)


class Data(_Splitting):  # type: ignore[valid-type, misc]
    """Where examples come from, how they are split, changed and shown."""

    source: str = Field(
        description="A source by name, or 'package.module:function'."
    )
    on_error: Literal["stop", "skip"] = Field(
        default="stop",
        description="Whether invalid examples stop the run, or are left out "
        "and listed.",
    )
    mean: Scale = Field(
        default=0.0,
        description="Models see (value - mean) / std: one number, or one for "
        "each channel; auto measures those of a table.",
    )
    std: Scale = Field(default=255.0, description="See mean.")
    batch_size: Count = Field(default=128, description="Examples in a step.")
    augment: Annotated[Section, always(Augment)] = Field(
        default_factory=Augment,
        description="What happens to training examples, drawn anew for every "
        "epoch.",
    )

    @model_validator(mode="before")
    @classmethod
    def _scale_of_the_source(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        scale: dict[str, Any] = {}
        if getattr(SOURCES.get(str(values.get("source"))), "is_tabular", False):
            scale = {"mean": "auto", "std": "auto"}
        elif values.get("seconds") is not None:
            scale = {"std": _SOUND_SCALE}
        return {**scale, **values}

    @field_validator("source")
    @classmethod
    def _source_exists(cls, source: str) -> str:
        SOURCES.find(source)
        return source

    @field_validator("std")
    @classmethod
    def _std_is_positive(cls, std: Scale) -> Scale:
        numbers: list[Any] = [*std] if isinstance(std, list) else [std]
        if not all(s == "auto" or s > 0 for s in numbers):
            raise ValueError("must be greater than 0")
        return std

    @model_validator(mode="after")
    def _scale_can_be_measured(self) -> "Data":
        spec = SOURCES.get(self.source)
        if spec and not spec.is_tabular and "auto" in (self.mean, self.std):
            tables = [name for name, s in SOURCES.items() if s.is_tabular]
            raise ValueError(
                f"source '{self.source}' has no columns to measure mean and "
                f"std of; auto is for {' and '.join(tables)}. Received: "
                f"mean={self.mean}, std={self.std}"
            )
        return self

    @property
    def spec(self) -> SourceSpec:
        """The source's row in the table."""
        return SOURCES.find(self.source)

    @property
    def arguments(self) -> dict[str, Any]:
        """{name: value} of the source's arguments that were given."""
        own = getattr(self, "args", None)
        if self.source not in SOURCES:
            return own or {}
        names = SOURCES[self.source].arguments
        values = {name: getattr(self, name) for name in names}
        return {k: v for k, v in values.items() if v is not None}

    def scale(self, measured: Moments | None) -> dict[str, Any]:
        """`mean` and `std`, measured where they are "auto".

        Raises:
            ValueError: if they cannot be measured.
        """
        chosen = {"mean": self.mean, "std": self.std}
        if "auto" not in (self.mean, self.std):
            return chosen
        if measured is None:
            raise ValueError(
                "data.mean and data.std cannot be measured: auto is for "
                "tables of numbers. Write numbers. Received: auto"
            )
        return {
            key: getattr(measured, key) if value == "auto" else value
            for key, value in chosen.items()
        }


class _Named(Data):
    @model_validator(mode="before")
    @classmethod
    def _keys_are_of_the_source(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        kept = dict(values)
        for key, value in values.items():
            field = cls.model_fields.get(key)
            if value is None and _turns_off(key, field):
                del kept[key]
            elif field is None:
                _refuse_key_of_another_source(key, values["source"])
        return kept


def _turns_off(key: str, field: Any) -> bool:
    """Whether null means that a key was not given."""
    if field is None:
        return bool(_owners(key))
    return not field.is_required() and field.default is not None


def _owners(key: str) -> list[str]:
    """Sources that have a key."""
    if key == "args":
        return ["'package.module:function'"]
    return [f"'{n}'" for n, spec in SOURCES.items() if key in spec.arguments]


def _refuse_key_of_another_source(key: str, source: str) -> None:
    if _owners(key):
        raise PydanticCustomError(
            "unknown_key",
            "unknown key",
            {
                "key": key,
                "problem": f"data: the key '{key}' is for source "
                f"{' or '.join(_owners(key))} alone. Received: source "
                f"{source!r}",
            },
        )


class OwnData(_Named):
    """A source of the user's own: a function that returns a `Source`."""

    source: Annotated[str, Field(pattern=":")]
    args: dict[str, Any] | None = Field(
        default=None, description="Arguments of the function."
    )


def choose_source(given: dict[str, Any]) -> type[Data]:
    """The section of the source that a dict names."""
    name = given.get("source")
    if not isinstance(name, str) or (name not in SOURCES and ":" not in name):
        return _Unknown
    if name not in SOURCES:
        return OwnData
    return data_section(name, SOURCES[name])


@functools.cache
def data_section(name: str, spec: SourceSpec) -> type[Data]:
    """The section of one row of the table."""
    return section_of(name, spec.arguments, base=_Named, fixed={"source": name})


class _Unknown(Data):
    """Of a name that is in no table: the name is what gets reported."""

    @model_validator(mode="before")
    @classmethod
    def _without_keys_of_sources(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if not _owners(k)}


def _all_sources() -> list[type[Section]]:
    return [
        *(data_section(name, spec) for name, spec in SOURCES.items()),
        OwnData,
    ]


AnyData = Annotated[Data, ChosenBy(choose_source, _all_sources)]
