"""Sentences about what stands in the way of a distillation.

Each has a figure and a remedy.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kd_tf.distillation.gradient_shares import GradientShares

_LEAST_GAIN = 0.01  # of accuracy, for a teacher to be worth its time
_LEAST_SHARE = 0.01  # of the gradient, for a loss to be worth its time
_SHARP, _FLAT = 0.05, 0.99  # of the greatest possible entropy
# Of the way from the most frequent class to perfect: chance goes further on
# few labels, yet whoever gets half of it right there has learnt something.
_LEAST_SKILL, _MOST_CHANCE = 0.05, 0.5
_OTHERS = ("student_loss", "regularization_loss")  # not the teacher's


def on_sample_weights(num_counted: int, num_examples: int) -> Iterator[str]:
    """Finds sample weights that leave no example.

    Args:
        num_counted: Number of examples of a weight other than 0.
        num_examples: Number of all.
    """
    if not num_counted:
        yield (
            f"All {num_examples} examples have a sample weight of 0: no loss "
            "moves the student. Give positive weights, or leave them out."
        )


def on_outputs(
    teacher: Mapping[Any, Mapping[str, Any]], *, who: str = "teacher"
) -> Iterator[str]:
    """Finds outputs that are not finite, or are probabilities.

    Args:
        teacher: {name of an output, or None: figures of `measure_batch`}.
        who: What the teacher is called.
    """
    for name, figures in teacher.items():
        which = "" if name is None else f" for {name!r}"
        if figures["not finite"]:
            fraction = figures["not finite"] / figures["values"]
            yield (
                f"{fraction:.1%} of the {who}'s outputs{which} are NaN or "
                "infinite: look for a diverged training, or inputs that it "
                "was not trained on."
            )
        elif not (figures["negative"] or figures["not a distribution"]):
            yield (
                f"The {who}'s outputs{which} lie in [0, 1] and add up to "
                "1.000: they are probabilities already. Take the logits, "
                "before softmax."
            )


def on_labels(outputs: Mapping[Any, Mapping[str, Any]]) -> Iterator[str]:
    """Finds labels of which none is a class.

    Args:
        outputs: As of `on_outputs`.
    """
    for name, figures in outputs.items():
        which = "" if name is None else f" for {name!r}"
        if not figures.get("labels") or figures["several classes"]:
            continue
        num_classes = len(figures["of class"])
        if not figures["of class"].sum():
            yield (
                f"None of the {figures['labels']} labels{which} lies in "
                f"[0, {num_classes}): all are ignored. Number the classes "
                "from 0, or set student_weight=0 to learn without labels."
            )


def on_accuracy(
    accuracy: Mapping[str, float],
    *,
    majority_share: float | None,
    num_labels: int,
    who: str = "teacher",
) -> Iterator[str]:
    """Finds a teacher that is hardly better than chance, or its student.

    An untrained student says nothing of its teacher; the most frequent class
    does.

    Args:
        accuracy: {"teacher" or "student": accuracy}, or empty.
        majority_share: Share of the most frequent class, None if `accuracy`
            is empty.
        num_labels: Number of labels they were measured on.
        who: What the teacher is called.
    """
    if len(accuracy) < 2 or majority_share is None:
        return
    teacher, student = accuracy["teacher"], accuracy["student"]
    remedy = (
        "Check that the teacher gets its inputs as in its own training "
        "(`teacher_input`) and that classes have the same order; else train a "
        "better one."
    )
    if not _is_better(teacher, majority_share, num_labels):
        yield (
            f"The accuracy of the {who} is {teacher:.1%} on {num_labels} "
            f"labels; always predicting the most frequent class has "
            f"{majority_share:.1%}: there is little to learn from it. {remedy}"
        )
    elif teacher - student < _LEAST_GAIN:
        yield (
            f"The accuracy of the {who} is {teacher:.1%}, of the student "
            f"{student:.1%}: there is little to learn from it. {remedy}"
        )


def _is_better(accuracy: float, majority_share: float, count: int) -> bool:
    """Whether an accuracy is beyond the majority's, and beyond chance."""
    left = 1 - majority_share
    # Twice the standard error of a share.
    chance = 2 * math.sqrt(majority_share * left / max(count, 1))
    margin = min(max(chance, _LEAST_SKILL * left), _MOST_CHANCE * left)
    gain = accuracy - majority_share
    return gain > 0 and gain >= margin


def on_entropy(entropies: Mapping[str, float]) -> Iterator[str]:
    """Finds temperatures that leave the teacher too sharp or too flat.

    Args:
        entropies: {loss: entropy as a fraction of the greatest possible}.
    """
    for name, fraction in entropies.items():
        if fraction < _SHARP:
            yield (
                f"Under {name} the softened teacher has {fraction:.1%} of the "
                "greatest entropy: it adds little to the labels. Raise the "
                "temperature."
            )
        elif fraction > _FLAT:
            yield (
                f"Under {name} the softened teacher has {fraction:.1%} of the "
                "greatest entropy: all classes look alike. Lower the "
                "temperature."
            )


def on_gradients(gradients: GradientShares) -> Iterator[str]:
    """Finds what keeps losses from moving the student.

    Args:
        gradients: `GradientShares`.
    """
    if not gradients.has_variables:
        yield (
            "The student has 0 trainable variables: nothing is learnt. Set "
            "`trainable = True` on the layers to train, and compile again."
        )
        return
    if gradients.is_dead:
        yield (
            "The outputs of the student are the same for all examples, and 0 "
            "of its kernels get a gradient: it is dead. Initialize it anew, "
            "and check its inputs (scaled, not all alike), its activations "
            "(ReLUs that are never active) and the learning rate."
        )
        return
    ignored = _ignored_for_the_labels(gradients)
    if ignored:
        yield (
            f"`student_weight` is 1 now: {', '.join(ignored)} "
            f"{'weighs' if len(ignored) == 1 else 'weigh'} 0, and nothing is "
            "learnt from the teacher. Lower it, such as to 0.1."
        )
    for name, share in gradients.shares.items():
        # NaN comes from outputs that are NaN, on which there is a finding.
        is_small = share < _LEAST_SHARE
        if is_small and name not in (*ignored, "regularization_loss"):
            remedy = _remedy(name, gradients)
            yield f"{name} has {share:.2%} of the gradient. {remedy}"
    if not ignored:
        yield from on_adapters(gradients.idle_adapters)


def _ignored_for_the_labels(gradients: GradientShares) -> list[str]:
    if gradients.student_weight != 1:
        return []
    return [name for name in gradients.shares if name not in _OTHERS]


def _remedy(name: str, gradients: GradientShares) -> str:
    share, weight = gradients.shares[name], gradients.weights[name]
    is_of_labels = name == "student_loss"
    if weight == 0:
        how = "Raise `student_weight`" if is_of_labels else "Give it a weight"
        return f"{how}, or leave it out."
    if share == 0:
        return (
            f"Its weight is {weight:.2g}, but it moves no weight of the "
            "student: it does not depend on them, or is at its least already. "
            "Check the function and what it compares, or leave it out."
        )
    if is_of_labels:
        # With w the weight, w a / (w a + (1 - w) b) is to be a tenth.
        a, b = share / weight, (1 - share) / max(1 - weight, 1e-9)
        return f"Set `student_weight` to {b / (9 * a + b):.2g} for a tenth."
    factor = 0.1 * (1 - share) / (0.9 * share)
    return f"Multiply its weight by {factor:.2g} for a tenth, or leave it out."


def on_adapters(without_gradient: Sequence[str]) -> Iterator[str]:
    """Finds adapters that are not trained.

    Args:
        without_gradient: Names of layer pairs.
    """
    for name in without_gradient:
        yield (
            f"The adapter of {name} gets a gradient of 0: it learns nothing. "
            "Give its loss a weight, or pair other layers."
        )
