"""What a config may say of data: where it comes from, how it is cut and shown.

Which keys a source has is written here once more, in brief, so that a wrong
config is answered without importing anything heavy; a test holds it to the
arguments of kd_tf's functions.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from kd_tf.data.splitting.assignment import SplitSettings
from pipelines.config.losses import Section, check_name


def _is_pattern(text):
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error})") from error
    return text


Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Angle = Annotated[float, Field(gt=0, le=180)]
Pattern = Annotated[str, AfterValidator(_is_pattern)]

# source: (keys it needs, keys it may have).
SOURCES = {
    "digits": ((), ()),
    "diabetes": ((), ()),
    "npz": (("path",), ()),
    "tfds": (
        ("name",),
        (
            "manual_dir",
            "image_size",
            "target_key",
            "classes",
            "ignored",
            "seconds",
            "name_key",
        ),
    ),
    "image_folder": (("path", "image_size"), ("channels", "label_pattern")),
    "segmentation_folder": (
        ("path", "classes", "image_size"),
        (
            "ignored",
            "images",
            "masks",
            "tile_size",
            "channels",
            "present_fraction",
        ),
    ),
    "audio_folder": (("path", "sample_rate", "seconds"), ("label_pattern",)),
    "csv": (("path", "target"), ("features", "name_column")),
}
TABLES = ("csv", "diabetes")


class Augment(Section):
    """What happens to training examples, drawn anew for every epoch."""

    flip: Literal["horizontal", "vertical", "both"] | None = None
    rotate: Literal["quarter"] | Angle | None = None  # or degrees
    crop: Annotated[float, Field(gt=0, le=1)] | None = (
        None  # least share of height and width kept
    )
    colour: Share | None = None  # greatest relative change
    mixup: Annotated[float, Field(gt=0)] | None = None  # Beta(mixup, mixup)
    shift: Share | None = None  # greatest, of a recording's length
    noise: Annotated[float, Field(gt=0)] | None = None  # of its loudness
    spec_augment: Share | None = None  # greatest, of its time and its band


class Data(Section):
    """Where examples come from, how they are cut, changed and shown.

    Which keys a source has is in `SOURCES`.
    """

    source: str  # one of SOURCES, or "package.module:function"
    name: str | None = None  # of a TFDS builder
    manual_dir: str | None = None  # its source files, instead of a download
    path: str | None = None  # of a file or a folder
    image_size: list[Count] | None = Field(
        default=None, min_length=2, max_length=2
    )  # [height, width] that images are resized to
    channels: Literal[1, 3] | None = None
    label_pattern: Pattern | None = None  # its one group finds the class
    classes: dict[str, str | int] | None = Field(
        default=None, min_length=2
    )  # of masks: name, pixel
    ignored: list[str | int] | None = None  # pixels of masks
    images: str | None = None  # what paths of images have in them
    masks: str | None = None  # what paths of masks have in them
    tile_size: Count | None = None
    present_fraction: Share | None = None  # of a tile, for task: multilabel
    sample_rate: Count | None = None  # hertz
    seconds: Annotated[float, Field(gt=0)] | None = None
    target: str | list[str] | None = None  # columns
    features: list[str] | None = None  # columns; all others if not given
    target_key: str | None = None  # of a TFDS example
    name_key: str | None = None  # of a TFDS example, for group and patterns
    name_column: str | None = None  # of a table, for group and patterns
    args: dict[str, Any] | None = None  # of a function of your own
    on_error: Literal["stop", "skip"] = "stop"
    validation_fraction: Share = SplitSettings.validation_fraction
    # Only where the source has no test part.
    test_fraction: Share = SplitSettings.test_fraction
    group: Pattern | None = None  # what no two splits share
    validation_pattern: Pattern | None = None
    test_pattern: Pattern | None = None
    mean: float | list[float] | Literal["auto"] = 0.0
    std: float | list[float] | Literal["auto"] = 255.0
    batch_size: Count = 128
    augment: Augment = Augment()

    @model_validator(mode="before")
    @classmethod
    def _scale_of_the_source(cls, data):
        """Models see (value - mean) / std."""
        if not isinstance(data, dict):
            return data
        scale = {}
        if data.get("source") in TABLES:
            scale = {"mean": "auto", "std": "auto"}
        elif data.get("seconds") is not None:
            scale = {"std": 32768.0}
        return {**scale, **data}

    @field_validator("std")
    @classmethod
    def _std_is_positive(cls, std):
        values = std if isinstance(std, list) else [std]
        if not all(s == "auto" or s > 0 for s in values):
            raise ValueError("must be greater than 0")
        return std

    @field_validator("source")
    @classmethod
    def _source_exists(cls, source):
        return check_name(source, SOURCES)

    @model_validator(mode="after")
    def _keys_are_of_the_source(self):
        needed, optional = SOURCES.get(self.source, ((), ("args",)))
        for key in needed:
            if getattr(self, key) is None:
                raise ValueError(
                    f"source '{self.source}' needs the key '{key}'. Received: "
                    f"no '{key}'"
                )
        for key in sorted(self.given - {*needed, *optional}):
            owners = [
                f"'{name}'"
                for name, keys in SOURCES.items()
                if key in sum(keys, ())
            ] or ["'package.module:function'"]
            raise ValueError(
                f"the key '{key}' is for source {' or '.join(owners)} alone. "
                f"Received: source '{self.source}'"
            )
        return self

    @model_validator(mode="after")
    def _scale_can_be_measured(self):
        has_none = self.source in SOURCES and self.source not in TABLES
        if has_none and "auto" in (self.mean, self.std):
            raise ValueError(
                f"source '{self.source}' has no scale to be measured. "
                f"Allowed: auto for {' and '.join(TABLES)}, else numbers. "
                f"Received: mean={self.mean}, std={self.std}"
            )
        return self

    def scale(self, found):
        """`mean` and `std`, or what was found of the training examples."""
        chosen = {"mean": self.mean, "std": self.std}
        if "auto" in (self.mean, self.std) and found is None:
            raise ValueError(
                "data.mean and data.std cannot be measured. Allowed: auto "
                "for tables of numbers, else numbers. Received: auto"
            )
        return {k: found[k] if v == "auto" else v for k, v in chosen.items()}

    @property
    def given(self):
        """Keys that tell the source what to read."""
        keys = {key for keys in SOURCES.values() for key in sum(keys, ())}
        return {k for k in (*keys, "args") if getattr(self, k) is not None}
