"""Everything an experiment may set: one model a section, ranges beside fields.

Defaults live here and nowhere else. Paths are relative to the folder the
command is run in.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from kd_tf.models import MODEL_NAMES
from kd_tf.tasks import TASKS
from pipelines.config_losses import Loss, Section, StudentWeight, Temperature
from pipelines.config_models import MODEL_ARGUMENTS


def _is_pattern(text):
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error})") from error
    return text


Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Angle = Annotated[float, Field(gt=0, le=180)]
Pattern = Annotated[str, AfterValidator(_is_pattern)]


class Augment(Section):
    """What happens to training examples, drawn anew for every epoch."""

    flip: Literal["horizontal", "vertical", "both"] | None = None
    rotate: Literal["quarter"] | Angle | None = None  # or degrees
    crop: Rate | None = None  # least share of height and width kept
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
    present_share: Share | None = None  # of a tile, for task: multilabel
    sample_rate: Count | None = None  # hertz
    seconds: Annotated[float, Field(gt=0)] | None = None
    target: str | list[str] | None = None  # columns
    features: list[str] | None = None  # columns; all others if not given
    target_key: str | None = None  # of a TFDS example
    name_key: str | None = None  # of a TFDS example, for group and patterns
    name_column: str | None = None  # of a table, for group and patterns
    args: dict[str, Any] | None = None  # of a function of your own
    on_error: Literal["stop", "skip"] = "stop"
    validation_share: Share = 0.1
    test_share: Share = 0.2  # only where the source has no test part
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
        mean, std = 0.0, 255.0
        if data.get("source") in ("csv", "diabetes"):
            mean = std = "auto"
        elif data.get("seconds") is not None:
            std = 32768.0
        return {"mean": mean, "std": std, **data}

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
        if source not in SOURCES and ":" not in source:
            raise ValueError(
                f"must be one of {', '.join(SOURCES)}, or "
                "'package.module:function'"
            )
        return source

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


# source: (keys it needs, keys it may have); a test holds them to the
# arguments of kd_tf's functions, which config errors need not import.
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
            "present_share",
        ),
    ),
    "audio_folder": (("path", "sample_rate", "seconds"), ("label_pattern",)),
    "csv": (("path", "target"), ("features", "name_column")),
}


class Network(Section):
    """A model by name and arguments, and what it may cost to train."""

    model: str | None = None  # of MODEL_ARGUMENTS, or "package.module:function"
    args: dict[str, Any] = Field(default={}, validate_default=True)
    path: str | None = None  # of a finished .keras file, instead of training
    epochs: Count = 10
    learning_rate: Rate = 1e-3

    @field_validator("model")
    @classmethod
    def _model_exists(cls, model):
        if model is not None and model not in MODEL_NAMES and ":" not in model:
            raise ValueError(
                f"must be one of {', '.join(MODEL_NAMES)}, or "
                "'package.module:function'"
            )
        return model

    @field_validator("args")
    @classmethod
    def _arguments_fit(cls, args, info):
        arguments = MODEL_ARGUMENTS.get(info.data.get("model"))
        if arguments is None:
            return args
        return arguments.model_validate(args).model_dump()


class Teacher(Network):
    enabled: bool = True


class Student(Network):
    """The student; its budget is that of the control, too."""


class Control(Section):
    """The same student, same initial weights and budget, on labels only."""

    enabled: bool = True


class Distill(Section):
    """What the student learns from its teacher, here and while pruned.

    Losses and temperature have the defaults of the task (`kd_tf.tasks`).
    """

    enabled: bool = True
    temperature: Temperature = 1.0  # of losses on answers that name none
    student_weight: StudentWeight = 0.1  # of the labels; the rest is theirs
    losses: list[Loss] = Field(min_length=1)


class Labels(Section):
    """How labels are learnt, by teacher and student alike."""

    smoothing: float = Field(default=0.0, ge=0, lt=1)
    dice_weight: float = Field(default=0.0, ge=0)  # beside cross-entropy


class Prune(Section):
    """Sparsity rises in the first `ramp_epochs`; the rest is recovery."""

    enabled: bool = True
    sparsity: float = Field(default=0.5, ge=0, lt=1)
    epochs: int = Field(default=4, ge=2)
    ramp_epochs: Count = 2
    learning_rate: Rate = 1e-3
    skip: list[str] = []

    @model_validator(mode="after")
    def _leaves_time_to_recover(self):
        if self.ramp_epochs >= self.epochs:
            raise ValueError(
                "'ramp_epochs' must be less than 'epochs', to leave time to "
                f"recover. Received: ramp_epochs={self.ramp_epochs}, "
                f"epochs={self.epochs}"
            )
        return self


class Quantize(Section):
    """Both files are made and measured; `deliver` says which one ships."""

    enabled: bool = True
    deliver: Literal["int8", "weight_only_int8"] = "int8"
    calibration_examples: Count = 256


class Export(Section):
    time_limit_s: float = Field(default=300.0, gt=0)


class Verify(Section):
    enabled: bool = True


class Budget(Section):
    """What the delivered file may cost; None means no limit."""

    max_score_drop: float | None = Field(default=None, ge=0, le=1)
    max_size_kb: float | None = Field(default=None, gt=0)  # 1 kB = 1000 bytes
    max_latency_ms: float | None = Field(default=None, gt=0)  # p50, one thread


class Benchmark(Section):
    enabled: bool = True
    runs: Count = 200
    warmup: int = Field(default=20, ge=0)


class Config(Section):
    """One experiment."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: Literal[tuple(TASKS)] = "classification"
    seed: int = Field(default=1, ge=0, lt=2**31)
    data: Data
    labels: Labels = Labels()
    teacher: Teacher = Teacher()
    student: Student = Student()
    control: Control = Control()
    distill: Distill
    prune: Prune = Prune()
    quantize: Quantize = Quantize()
    export: Export = Export()
    verify: Verify = Verify()
    budget: Budget = Budget()
    benchmark: Benchmark = Benchmark()
    tensorboard: bool = False  # logs in the run folder, for TensorBoard

    @model_validator(mode="before")
    @classmethod
    def _distillation_of_the_task(cls, config):
        if not isinstance(config, dict) or not isinstance(
            config.get("distill", {}), dict
        ):
            return config
        task = TASKS.get(config.get("task", "classification"))
        if task is None:
            return config
        name, temperature = task.distills
        given = config.get("distill", {})
        defaults = {"losses": [{"name": name}]}
        if temperature is not None:
            defaults["temperature"] = temperature
        return {**config, "distill": {**defaults, **given}}

    @model_validator(mode="after")
    def _stages_have_what_they_need(self):
        for section, broken, problem in self._needs():
            if broken:
                # Carries the section, so that a message can name its line.
                raise PydanticCustomError(
                    "stage",
                    "{problem}",
                    {"problem": problem, "section": section},
                )
        return self

    def _needs(self):
        teacher, student, budget = self.teacher, self.student, self.budget
        distils = self.distill.enabled and student.path is None
        limits = [key for key, limit in budget if limit is not None]
        return [
            (
                "teacher",
                teacher.enabled and not (teacher.model or teacher.path),
                "there is no teacher. Allowed: teacher.model, teacher.path, "
                "or teacher.enabled: false. Received: none of them",
            ),
            (
                "student",
                not (student.model or student.path),
                "there is no student. Allowed: student.model or "
                "student.path. Received: neither",
            ),
            (
                "distill",
                distils and not teacher.enabled,
                "there is no teacher to distill. Allowed: teacher.enabled: "
                "true, distill.enabled: false, or student.path. Received: "
                "distill.enabled: true, teacher.enabled: false",
            ),
            (
                "student",
                not (distils or student.path or self.control.enabled),
                "no stage makes a student. Allowed: distill.enabled: true, "
                "control.enabled: true, or student.path. Received: none of "
                "them",
            ),
            (
                "budget",
                limits and not self.verify.enabled,
                "nothing checks the budget. Allowed: verify.enabled: true, "
                "or no limits. Received: verify.enabled: false, "
                f"{', '.join(limits)}",
            ),
            (
                "budget",
                budget.max_score_drop is not None and not teacher.enabled,
                "max_score_drop needs a teacher to drop from. Allowed: "
                "teacher.enabled: true, or no such limit. Received: "
                f"teacher.enabled: false, {budget.max_score_drop}",
            ),
        ]
