"""Everything an experiment may set: one model a section, ranges beside fields.

Defaults live here and nowhere else. Paths are relative to the folder the
command is run in.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from kd_tf.models import MODEL_NAMES
from kd_tf.tasks import TASKS
from pipelines.config.data import Data
from pipelines.config.losses import (
    CLASSES_ONLY,
    VALUES_ONLY,
    Loss,
    Section,
    StudentWeight,
    Temperature,
    check_name,
)
from pipelines.config.models import MODEL_ARGUMENTS

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]


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
        return None if model is None else check_name(model, MODEL_NAMES)

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
    temperature: Temperature  # of losses on answers that name none
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
    release: Literal["int8", "weight_only_int8"] = "int8"
    calibration_examples: Count = 256


class Export(Section):
    time_limit_s: float = Field(default=300.0, gt=0)


class Verify(Section):
    enabled: bool = True


class Budget(Section):
    """What the released file may cost; None means no limit."""

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
        defaults = {"losses": [{"name": name}], "temperature": temperature}
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
        task = TASKS[self.task]
        unfit = [
            loss.name
            for loss in self.distill.losses
            if loss.name in (CLASSES_ONLY if task.has_values else VALUES_ONLY)
        ]
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
                "labels",
                self.labels.dice_weight and not task.per_pixel,
                "dice_weight is of masks. Allowed: task: segmentation, or "
                f"no dice_weight. Received: task: {self.task}, "
                f"dice_weight: {self.labels.dice_weight}",
            ),
            (
                "labels",
                self.labels.smoothing and task.has_values,
                "smoothing is of classes. Allowed: 0 for a regression. "
                f"Received: smoothing: {self.labels.smoothing}",
            ),
            (
                "distill",
                teacher.enabled and unfit,
                "a loss does not fit the task. Allowed: "
                + ", ".join(VALUES_ONLY)
                + " and losses on layers for a regression, all others for "
                f"classes. Received: task: {self.task}, {', '.join(unfit)}",
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
