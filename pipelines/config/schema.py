"""Every key of a config: one class a section.

A section that sets arguments of a function has the function's defaults.
Paths are relative to the folder in which the command is run.
"""

import functools
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import (
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from kd_tf.compression import PASSES, PassSpec
from kd_tf.export.recipes import RECIPES
from kd_tf.models import MODELS, ModelSpec
from kd_tf.ranges import Count, Path, Positive, UnitInterval
from kd_tf.specs import read_arguments
from kd_tf.tasks import TASKS, Task, get_task
from pipelines.config.base import (
    ChosenBy,
    Section,
    always,
    number_or_ramp,
    section_of,
)
from pipelines.config.data import AnyData
from pipelines.config.losses import AnyLoss, Temperature

BENCHMARK_FILE = "kd_tf.edge.benchmarking:benchmark_file"
CONVERT = "kd_tf.export.convert:convert_to_tflite"
_TIME_LIMIT_S = read_arguments(CONVERT)["time_limit_s"]

Rate = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
StudentWeight = number_or_ramp(UnitInterval)


class Network(Section):
    """A model by name and arguments, and its training."""

    model: str | None = Field(
        default=None,
        description="A model by name, or 'package.module:function'.",
    )
    args: SerializeAsAny[Section] | dict[str, Any] = Field(
        default={}, validate_default=True, description="Its arguments."
    )
    path: Path | None = Field(
        default=None,
        description="A finished .keras file, instead of training.",
    )
    epochs: Count = Field(default=10, description="Epochs of training.")
    learning_rate: Rate = Field(
        default=1e-3, description="Rate of the first step; it ends at 0."
    )

    @field_validator("model")
    @classmethod
    def _model_exists(cls, model: str | None) -> str | None:
        if model is not None:
            MODELS.find(model)
        return model

    @field_validator("args", mode="before")
    @classmethod
    def _arguments_fit(cls, args: Any, info: Any) -> Any:
        spec = MODELS.get(info.data.get("model"))
        if spec is None or not isinstance(args, dict):
            return args
        return arguments_of_model(spec).model_validate(args)

    @property
    def spec(self) -> ModelSpec | None:
        """The model's row in the table, if it is to be built."""
        return MODELS.find(self.model) if self.model else None

    @property
    def arguments(self) -> dict[str, Any]:
        """{name: value} of the model's arguments."""
        if isinstance(self.args, Section) and self.spec:
            return self.args.values_of(self.spec.arguments)
        return dict(self.args)


@functools.cache
def arguments_of_model(spec: ModelSpec) -> type[Section]:
    """The section of a model's arguments."""
    title = spec.function.rpartition(":")[2]
    return section_of(title, spec.arguments, base=Section)


class Teacher(Network):
    """The model that teaches."""

    enabled: bool = Field(
        default=True, description="Whether there is a teacher at all."
    )


class Student(Network):
    """The student; its training is that of the control, too."""


class Control(Section):
    """The same student, same initial weights and training, on labels only."""

    enabled: bool = Field(default=True, description="Whether to train it.")


class Distill(Section):
    """What the student learns from its teacher, here and while pruned.

    Losses and temperature have the defaults of the task.
    """

    enabled: bool = Field(
        default=True,
        description="Whether to train the student under the teacher. Pruning "
        "recovers under it all the same.",
    )
    # The task fills these two in before anything is checked.
    temperature: Temperature = Field(  # type: ignore[valid-type]
        default=None,
        description="Of the losses between outputs that set none; by default "
        "that of the task.",
    )
    student_weight: StudentWeight = Field(  # type: ignore[valid-type]
        default=0.1,
        description="Weight of the labels; the rest is the teacher's.",
    )
    losses: list[AnyLoss] = Field(
        default=None,  # type: ignore[arg-type]
        min_length=1,
        description="Distillation losses; by default that of the task.",
    )


class Prune(Section):
    """A compression pass; the student recovers under its teacher."""

    enabled: bool = Field(default=True, description="Whether to prune.")
    method: str = Field(
        default="magnitude",
        description="A compression pass by name, or 'package.module:function'.",
    )
    epochs: int = Field(
        default=4, ge=2, description="Epochs of pruning and recovery."
    )
    learning_rate: Rate = Field(
        default=1e-3, description="Rate of the first step; it ends at 0."
    )

    @field_validator("method")
    @classmethod
    def _pass_exists(cls, method: str) -> str:
        PASSES.find(method)
        return method

    @model_validator(mode="after")
    def _leaves_time_to_recover(self) -> "Prune":
        ramp_epochs = getattr(self, "ramp_epochs", None) or 0
        if ramp_epochs >= self.epochs:
            raise ValueError(
                "'ramp_epochs' must be less than 'epochs', to leave time to "
                f"recover. Received: ramp_epochs={ramp_epochs}, "
                f"epochs={self.epochs}"
            )
        return self

    @property
    def spec(self) -> PassSpec:
        """The pass's row in the table."""
        return PASSES.find(self.method)

    @property
    def arguments(self) -> dict[str, Any]:
        """{name: value} of the pass's arguments."""
        return self.values_of(self.spec.arguments)


def choose_pass(given: dict[str, Any]) -> type[Prune]:
    """The section of the pass that a dict names."""
    method = given.get("method", Prune.model_fields["method"].default)
    if not isinstance(method, str) or (
        method not in PASSES and ":" not in method
    ):
        return _UnknownPass
    return pass_section(PASSES.find(method))


class _UnknownPass(Prune):
    """Of a name that is in no table: the name is what gets reported."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, values: Any) -> Any:
        return {key: values[key] for key in values if key in Prune.model_fields}


@functools.cache
def pass_section(spec: PassSpec) -> type[Prune]:
    """The section of one compression pass."""
    return section_of("Prune", spec.arguments, base=Prune)


def _all_passes() -> list[type[Section]]:
    return [pass_section(spec) for spec in PASSES.values()]


class Quantize(Section):
    """All recipes are made and measured; `release` says which one ships."""

    enabled: bool = Field(default=True, description="Whether to quantize.")
    release: str = Field(
        default="int8", description="Recipe of the file to be released."
    )
    calibration_examples: Count = Field(
        default=256,
        description="Training examples that ranges are measured on.",
    )

    @field_validator("release")
    @classmethod
    def _recipe_exists(cls, release: str) -> str:
        RECIPES.find(release)
        return release


class Export(Section):
    """Conversion to `.tflite`."""

    time_limit_s: Positive = Field(
        default=_TIME_LIMIT_S.default, description=_TIME_LIMIT_S.description
    )


class Verify(Section):
    """Scores of every model and file on the test split."""

    enabled: bool = Field(default=True, description="Whether to verify.")


class Budget(Section):
    """What the released file may cost; null means no limit."""

    max_score_drop: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Of the task's score on the test split, against the "
        "teacher.",
    )
    max_size_kb: Positive | None = Field(
        default=None, description="Size of the file; 1 kB is 1000 bytes."
    )
    max_latency_ms: Positive | None = Field(
        default=None,
        description="Median of one invocation on one thread.",
    )


class Switch(Section):
    """Something that can be left out."""

    enabled: bool = Field(default=True, description="Whether to measure.")


Benchmark = section_of(
    "Benchmark",
    {
        name: argument
        for name, argument in read_arguments(BENCHMARK_FILE).items()
        if name in ("runs", "warmup")
    },
    base=Switch,
)


class Seeds(Section):
    """Seeds of what is independent; null takes `seed`."""

    split: Seed | None = Field(
        default=None, description="Which example goes where."
    )
    weights: Seed | None = Field(
        default=None, description="Initial weights, and dropout."
    )
    order: Seed | None = Field(
        default=None, description="Order of the examples."
    )
    augmentation: Seed | None = Field(
        default=None, description="Changes of examples."
    )


@functools.cache
def labels_section(task: str) -> type[Section]:
    """The section `labels` of a task: arguments of its label loss."""
    arguments = TASKS.find(task).label_arguments
    return section_of("Labels", arguments, base=Section)


def _label_keys() -> set[str]:
    """Keys that `labels` has for some task."""
    return {key for task in TASKS for key in labels_section(task).model_fields}


# The task, another key, chooses; see `Config`.
AnyLabels = Annotated[
    Section,
    ChosenBy(lambda given: Section, lambda: [*map(labels_section, TASKS)]),
]


class Config(Section):
    """One experiment."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Names the run and its folder.",
    )
    task: str = Field(
        default="classification", description="What kind the targets are of."
    )
    seed: Seed = Field(default=1, description="Decides all that is random.")
    seeds: Seeds = Field(default=Seeds(), description="Seeds of single things.")
    data: AnyData = Field(description="The examples.")
    labels: AnyLabels = Field(
        default={},  # type: ignore[assignment]
        validate_default=True,
        description="How labels are learnt, by teacher and student alike.",
    )
    teacher: Teacher = Field(default=Teacher(), description="The teacher.")
    student: Student = Field(default=Student(), description="The student.")
    control: Control = Field(
        default=Control(), description="What distillation has to beat."
    )
    distill: Distill = Field(
        default=None,  # type: ignore[assignment]
        description="Learning from the teacher.",
    )
    prune: Annotated[Prune, ChosenBy(choose_pass, _all_passes)] = Field(
        default={},  # type: ignore[assignment]
        validate_default=True,
        description="Taking weights away.",
    )
    quantize: Quantize = Field(
        default=Quantize(), description="Smaller numbers."
    )
    export: Export = Field(default=Export(), description="Conversion.")
    verify: Verify = Field(
        default=Verify(), description="Scores on the test split."
    )
    budget: Budget = Field(
        default=Budget(), description="Limits of the released file."
    )
    benchmark: Annotated[Switch, always(Benchmark)] = Field(
        default_factory=Benchmark, description="Size, latency and memory."
    )
    tensorboard: bool = Field(
        default=False, description="Logs for TensorBoard in the run folder."
    )

    def seed_of(self, thing: str) -> int:
        """The seed of one of the keys of `seeds`."""
        given: int | None = getattr(self.seeds, thing)
        return self.seed if given is None else given

    @field_validator("task")
    @classmethod
    def _task_exists(cls, task: str) -> str:
        TASKS.find(task)
        return task

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_of_the_task(cls, labels: Any, info: Any) -> Any:
        if not isinstance(labels, dict):
            return labels
        if "task" not in info.data:
            return Section()  # the task is what gets reported
        section = labels_section(info.data["task"])
        # A weight of 0 asks for nothing, whatever the task.
        asked = {
            key: value
            for key, value in labels.items()
            if value != 0 or isinstance(value, bool) or key not in _label_keys()
        }
        return section.model_validate(asked)

    @model_validator(mode="before")
    @classmethod
    def _distillation_of_the_task(cls, config: Any) -> Any:
        if not isinstance(config, dict):
            return config
        distill = config.get("distill", {})
        name = config.get("task", cls.model_fields["task"].default)
        if not isinstance(distill, dict) or name not in list(TASKS):
            return config
        task = get_task(name)
        defaults = {
            "losses": [{"name": task.default_loss}],
            "temperature": task.default_temperature,
        }
        return {**config, "distill": {**defaults, **distill}}

    @model_validator(mode="after")
    def _stages_have_what_they_need(self) -> "Config":
        for section, is_broken, problem in _needs(self, get_task(self.task)):
            if is_broken:
                # Carries the section, so that a message can name its line.
                raise PydanticCustomError(
                    "stage",
                    "{problem}",
                    {"problem": problem, "section": section},
                )
        return self


def _needs(config: Config, task: Task) -> Iterator[tuple[str, bool, str]]:
    """(section, whether it is broken, what is wrong) of sections together."""
    teacher, student, budget = config.teacher, config.student, config.budget
    distils = config.distill.enabled and student.path is None
    yield (
        "teacher",
        teacher.enabled and not (teacher.model or teacher.path),
        "there is no teacher. Set teacher.model or teacher.path, or "
        "teacher.enabled: false. Received: none of them",
    )
    yield (
        "student",
        not (student.model or student.path),
        "there is no student. Set student.model or student.path. Received: "
        "neither",
    )
    yield (
        "distill",
        distils and not teacher.enabled,
        "there is no teacher to distill. Set teacher.enabled: true, "
        "distill.enabled: false, or student.path. Received: distill.enabled: "
        "true, teacher.enabled: false",
    )
    yield (
        "student",
        not (distils or student.path or config.control.enabled),
        "no stage makes a student. Set distill.enabled: true, "
        "control.enabled: true, or student.path. Received: none of them",
    )
    unfit = [
        loss.name
        for loss in config.distill.losses
        if not loss.spec.fits(task.output_name)
    ]
    yield (
        "distill",
        teacher.enabled and bool(unfit),
        f"a loss does not fit the task, whose outputs are {task.output_name}. "
        "Take losses of such outputs, or of layers. Received: task: "
        f"{config.task}, {', '.join(unfit)}",
    )
    limits = [key for key, limit in budget if limit is not None]
    yield (
        "budget",
        bool(limits) and not config.verify.enabled,
        "nothing checks the budget. Set verify.enabled: true, or no limits. "
        f"Received: verify.enabled: false, {', '.join(limits)}",
    )
    yield (
        "budget",
        budget.max_score_drop is not None and not teacher.enabled,
        "max_score_drop needs a teacher to drop from. Set teacher.enabled: "
        "true, or no such limit. Received: teacher.enabled: false, "
        f"{budget.max_score_drop}",
    )
    yield (
        "budget",
        budget.max_latency_ms is not None and not config.benchmark.enabled,
        "max_latency_ms needs a measured latency. Set benchmark.enabled: "
        "true, or no such limit. Received: benchmark.enabled: false, "
        f"{budget.max_latency_ms}",
    )
