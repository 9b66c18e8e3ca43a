"""Checks that a student can learn from a teacher, and a loss compare them."""

import math
import warnings
from collections.abc import Hashable, Sequence
from typing import Any

import keras

from kd_tf.distillation.loss_term import LossTerm
from kd_tf.models.graph import is_symbolic, output_operations, outputs_by_name
from kd_tf.models.loading import refuse_probabilities

# A student with as many times the teacher's parameters is no slip of a layer.
_FAR_LARGER = 4


def warn_if_swapped(models: Sequence[Any]) -> None:
    """Warns if models given by position seem to be in Keras's order.

    `keras.distillation.Distiller` takes the teacher first.

    Args:
        models: Arguments given by position: student, teacher, and others.
    """
    pair = models[:2]
    if len(pair) < 2 or not all(isinstance(m, keras.Model) for m in pair):
        return
    student, teacher = map(_num_parameters, pair)
    if teacher == 0 or student < _FAR_LARGER * teacher:
        return
    warnings.warn(
        f"The student has {student:,} parameters, its teacher {teacher:,}. If "
        "they are swapped, give them by name: Distiller(student=..., "
        "teacher=...). By position the student comes first, unlike in "
        "keras.distillation. Received: a student far larger than its teacher",
        UserWarning,
        stacklevel=3,
    )


def check_models(student: Any, teacher: Any) -> None:
    """Raises if one is no model, or the student's training changes the teacher.

    Args:
        student: What should be a `keras.Model`.
        teacher: Likewise.

    Raises:
        ValueError: if so.
    """
    for name, model in {"student": student, "teacher": teacher}.items():
        if not isinstance(model, keras.Model):
            raise ValueError(
                f"`{name}` must be a keras.Model. Received: {model!r}"
            )
    if student is teacher:
        return  # its outputs teach each other, without gradient
    trained = {id(v) for v in student.trainable_variables}
    shared = [v.path for v in teacher.variables if id(v) in trained]
    if shared:
        raise ValueError(
            "The student would train its teacher: they may share no weights "
            "but frozen ones. Copy the teacher with keras.models.clone_model "
            "and set_weights; for outputs of one model that teach each other, "
            f"give it as both. Received: {shared[0]} in both"
        )


def check_outputs(
    student: keras.Model, teacher: keras.Model, *, loss_term: LossTerm
) -> None:
    """Raises if a loss is seen to compare outputs that are not comparable.

    Of a model without a symbolic graph nothing is seen.

    Args:
        student: `keras.Model`.
        teacher: `keras.Model`.
        loss_term: `LossTerm`, its `output` being a key of the student's.

    Raises:
        ValueError: if the teacher lacks an output, one that must be logits
            ends in softmax or sigmoid, or the numbers of classes differ.
    """
    _check_teacher_has_outputs(student, teacher, loss_term)
    _check_widths(student, teacher, loss_term)
    if loss_term.spec.takes_logits:
        refuse_probabilities(student, "The student", output=loss_term.output)
        output = loss_term.key_of(loss_term.output)
        refuse_probabilities(teacher, "The teacher", output=output)


def _check_teacher_has_outputs(
    student: keras.Model, teacher: keras.Model, loss_term: LossTerm
) -> None:
    is_of_all = loss_term.spec.takes_all_outputs and loss_term.output is None
    if loss_term.pairs is not None or is_of_all:
        return
    names = list(output_operations(student))
    present = list(output_operations(teacher))
    compared = names if loss_term.output is None else [loss_term.output]
    compared = list(map(loss_term.key_of, compared))
    if names and present and not set(compared) <= set(present):
        raise ValueError(
            f"Loss '{loss_term.name}' compares outputs that the teacher lacks. "
            "Both models need the same outputs; select some with "
            "keras.Model(teacher.inputs, teacher.outputs[0]). Received: "
            f"student {names}, teacher {present}"
        )


def _check_widths(
    student: keras.Model, teacher: keras.Model, loss_term: LossTerm
) -> None:
    # A transform may well make them equal.
    if loss_term.spec.knowledge != "response" or loss_term.transform:
        return
    widths, of_teacher = _output_widths(student), _output_widths(teacher)
    output = loss_term.output
    for name in list(widths) if output is None else [output]:
        pair = widths.get(name), of_teacher.get(loss_term.key_of(name))
        if None not in pair and pair[0] != pair[1]:
            which = "" if name is None else f" {name!r}"
            raise ValueError(
                f"The outputs{which} of student and teacher must have the "
                "same number of classes or quantities, along the last axis. "
                "Build one of them for the classes of the other. Received: "
                f"student {pair[0]}, teacher {pair[1]}"
            )


def _output_widths(model: keras.Model) -> dict[Hashable, int | None]:
    """{output: length of its last axis}; empty without a symbolic graph."""
    if not is_symbolic(model):
        return {}
    is_sequential = isinstance(model, keras.Sequential)
    outputs = model.outputs[0] if is_sequential else model.output
    return {
        # One quantity needs no axis of its own.
        name: tensor.shape[-1] if len(tensor.shape) > 1 else 1
        for name, tensor in outputs_by_name(outputs).items()
    }


def _num_parameters(model: keras.Model) -> int:
    return sum(math.prod(weight.shape) for weight in model.weights)
