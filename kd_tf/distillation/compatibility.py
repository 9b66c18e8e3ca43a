"""Checks that a student can learn from a teacher, and a loss compare them."""

from typing import Any

import keras

from kd_tf.distillation.loss_term import LossTerm
from kd_tf.models.graph import output_operations
from kd_tf.models.loading import refuse_probabilities


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
    trained = {id(v) for v in student.trainable_variables}
    shared = [v.path for v in teacher.variables if id(v) in trained]
    if shared:
        raise ValueError(
            "The student would train its teacher: they may share no weights "
            "but frozen ones. Copy the teacher with keras.models.clone_model "
            f"and set_weights. Received: {shared[0]} in both"
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
        ValueError: if the teacher lacks an output, or one that must be logits
            ends in softmax or sigmoid.
    """
    _check_teacher_has_outputs(student, teacher, loss_term)
    if loss_term.spec.takes_logits:
        refuse_probabilities(student, "The student", output=loss_term.output)
        refuse_probabilities(teacher, "The teacher", output=loss_term.output)


def _check_teacher_has_outputs(
    student: keras.Model, teacher: keras.Model, loss_term: LossTerm
) -> None:
    is_of_all = loss_term.spec.takes_all_outputs and loss_term.output is None
    if loss_term.pairs is not None or is_of_all:
        return
    names = list(output_operations(student))
    present = list(output_operations(teacher))
    compared = names if loss_term.output is None else [loss_term.output]
    if names and present and not set(compared) <= set(present):
        raise ValueError(
            f"Loss '{loss_term.name}' compares outputs that the teacher lacks. "
            "Both models need the same outputs; select some with "
            "keras.Model(teacher.inputs, teacher.outputs[0]). Received: "
            f"student {names}, teacher {present}"
        )
