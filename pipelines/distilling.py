"""Training under the teacher: the losses of a config -> a Distiller."""

import dataclasses
from typing import Any

import keras

from kd_tf.distillation.distiller import Distiller
from kd_tf.distillation.loss_term import LossTerm
from kd_tf.models.loading import load_model
from kd_tf.results import DiagnosisRecord, TrainingRecord
from kd_tf.schedules import Ramp
from pipelines import training
from pipelines.config.base import Ramp as RampSection
from pipelines.config.losses import Loss
from pipelines.state import Run


def under_teacher(run: Run, student: keras.Model) -> keras.Model:
    """The student with its teacher, or alone where there is none."""
    if run.reference is None:
        return student
    distill = run.config.distill
    return Distiller(
        student,
        load_model(run.model_path(run.reference)),
        [_loss_term(run, loss) for loss in distill.losses],
        student_weight=_number_or_schedule(run, distill.student_weight),
    )


def diagnose(run: Run, distiller: Distiller) -> DiagnosisRecord:
    """What a distillation starts from, on the validation split."""
    training.compile_model(run, distiller, "adam")
    data = training.evaluation_data(run, "validation")
    return distiller.diagnose(data).record()


def train(
    run: Run,
    trainer: keras.Model,
    student: keras.Model,
    scratch: str,
    **how: Any,
) -> TrainingRecord:
    """Trains a student as `pipelines.training.train` does, under its teacher.

    Args:
        run: The run.
        trainer: As `under_teacher` returned it.
        student: The student.
        scratch: Folder for the checkpoints.
        **how: As `pipelines.training.train` takes them.
    """
    if trainer is student:
        return training.train(run, trainer, student, scratch, **how)
    adapters = [v for loss in trainer.bound_losses for v in loss.variables]
    how["variables"] = [*how.get("variables", ()), *adapters]
    how["schedules"] = {**trainer.schedules, **(how.get("schedules") or {})}
    record = training.train(run, trainer, student, scratch, **how)
    losses = [loss.name for loss in trainer.bound_losses]
    return dataclasses.replace(
        record,
        losses=["student_loss", *losses],
        adapter_parameters=trainer.adapter_parameters,
        layer_pairs=trainer.pairs,
    )


def _loss_term(run: Run, loss: Loss) -> LossTerm:
    arguments = {
        name: _number_or_schedule(run, value)
        for name, value in loss.arguments.items()
    }
    # Between layers and examples temperature means something else.
    is_response = loss.spec.knowledge == "response"
    if is_response and "temperature" in loss.spec.arguments:
        temperature = run.config.distill.temperature
        arguments.setdefault(
            "temperature", _number_or_schedule(run, temperature)
        )
    return LossTerm(
        loss.name,
        weight=_number_or_schedule(run, loss.weight),
        pairs=loss.get("pairs"),
        transform=loss.get("transform"),
        **arguments,
    )


def _number_or_schedule(run: Run, value: Any) -> Any:
    if not isinstance(value, RampSection):
        return value
    steps = value.epochs * training.steps_per_epoch(run)
    return Ramp(value.start, value.end, steps, value.shape)
