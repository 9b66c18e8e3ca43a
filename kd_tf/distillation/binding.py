"""Binds losses to a student and its teachers, and readies all for training."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from kd_tf.distillation.bound_loss import BoundLoss
from kd_tf.distillation.compatibility import check_models, check_outputs
from kd_tf.distillation.loss_term import LossTerm, list_loss_terms
from kd_tf.distillation.taps import Forward, Tapped
from kd_tf.distillation.teachers.frozen import FrozenTeacher, FrozenTeachers
from kd_tf.distillation.teachers.given import GivenOutputs, TappedInputs
from kd_tf.models.graph import output_key

TeacherInput = Callable[[Any], Any] | None
StudentForward = Callable[..., Forward]
TeacherForward = FrozenTeacher | FrozenTeachers | GivenOutputs


def bind_losses(
    losses: Any, student: keras.Model, *, teacher: Any
) -> list[BoundLoss]:
    """Makes the losses that a `Distiller` was given ready for its models.

    Args:
        losses: As of `Distiller`.
        student: `keras.Model`.
        teacher: As of `Distiller`: a model, a list of them, or None.

    Raises:
        ValueError: if a model or a loss is invalid, or they do not fit.
    """
    teachers = _list(teacher)
    if teacher is not None and not teachers:
        raise ValueError(
            "Give at least one teacher, or None where its outputs come with "
            f"the data. Received: teacher={teacher!r}"
        )
    # Without a teacher its outputs are as the student's are.
    check_models(student, student if teacher is None else teachers[0])
    for other in teachers[1:]:
        check_models(student, other)
    bound_losses = []
    for loss_term in list_loss_terms(losses):
        _check_teacher(loss_term, teacher)
        chosen = teachers[loss_term.teacher or 0] if teachers else student
        loss_term.output = output_key(student, loss_term.output)
        loss_term.teacher_output = output_key(chosen, loss_term.teacher_output)
        check_outputs(student, chosen, loss_term=loss_term)
        bound_losses.append(BoundLoss(loss_term, student, teacher=chosen))
    return bound_losses


def tap_models(
    bound_losses: Sequence[BoundLoss],
    student: keras.Model,
    *,
    teacher: Any,
    teacher_input: TeacherInput,
    taps: Mapping[str, Sequence[str]],
) -> tuple[StudentForward, TeacherForward]:
    """Makes the forward passes that the losses need.

    Args:
        bound_losses: What `bind_losses` returned.
        student: `keras.Model`.
        teacher: As of `Distiller`.
        teacher_input: As of `Distiller`.
        taps: As of `Distiller`, or empty.

    Returns:
        Functions of the inputs to the `Forward` of student and teacher. They
        are plain objects: Keras neither saves nor trains what they hold.

    Raises:
        ValueError: if `teacher_input` is no function, or `taps` names other
            models than "student" and "teacher".
    """
    if not (teacher_input is None or callable(teacher_input)):
        raise ValueError(
            "`teacher_input` must be a function of the student's input. "
            f"Received: teacher_input={teacher_input!r}"
        )
    if not set(taps) <= {"student", "teacher"}:
        raise ValueError(
            '`taps` must be {"student": paths, "teacher": paths}. '
            f"Received: taps={taps!r}"
        )
    of_teacher = list(taps.get("teacher", ()))
    paths = [s for loss in bound_losses for s, _ in loss.pairs]
    paths += taps.get("student", ())
    frozen = [
        FrozenTeacher(
            model,
            of_teacher
            + [
                t
                for loss in bound_losses
                for _, t in loss.pairs
                if loss.loss_term.teacher in (None, i)
            ],
            prepare=teacher_input,
        )
        for i, model in enumerate(_list(teacher))
    ]
    if teacher is student:
        # One pass serves both.
        paths += of_teacher
        paths += [t for loss in bound_losses for _, t in loss.pairs]
    tapped = Tapped(student, paths)
    if teacher is None:
        return TappedInputs(tapped), GivenOutputs()
    is_one = isinstance(teacher, keras.Model)
    return tapped, frozen[0] if is_one else FrozenTeachers(frozen)


def _list(teacher: Any) -> list[Any]:
    if teacher is None:
        return []
    return list(teacher) if isinstance(teacher, (list, tuple)) else [teacher]


def _check_teacher(loss_term: LossTerm, teacher: Any) -> None:
    """Checks that it is clear which teacher a loss learns from."""
    name, chosen = loss_term.name, loss_term.teacher
    if teacher is None and loss_term.pairs is not None:
        raise ValueError(
            f"Loss '{name}' compares layers, and there is no teacher. Give "
            "one, or use losses on outputs. Received: teacher=None"
        )
    if not isinstance(teacher, (list, tuple)):
        if chosen is not None:
            raise ValueError(
                f"Loss '{name}' names one of several teachers. Leave "
                f"`teacher` out where there is one. Received: teacher={chosen}"
            )
    elif chosen not in range(len(teacher)):
        raise ValueError(
            f"Loss '{name}' must name its teacher, LossTerm(..., teacher=0). "
            "To learn from their mean, make a model of it with "
            "keras.layers.average. Allowed: "
            f"{', '.join(map(str, range(len(teacher))))}. Received: "
            f"teacher={chosen}"
        )
