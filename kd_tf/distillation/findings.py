"""Sentences about what stands in the way of a distillation.

Each has a figure and a remedy.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_LEAST_GAIN = 0.01  # of accuracy, for a teacher to be worth its time
_LEAST_SHARE = 0.01  # of the gradient, for a loss to be worth its time
_SHARP, _FLAT = 0.05, 0.99  # of the greatest possible entropy


def on_outputs(teacher: Mapping[Any, np.ndarray]) -> Iterator[str]:
    """Finds outputs that are not finite, or are probabilities.

    Args:
        teacher: {name of an output, or None: float array (B, ..., C)}.
    """
    for name, logits in teacher.items():
        which = "" if name is None else f" for {name!r}"
        if not np.isfinite(logits).all():
            fraction = np.mean(~np.isfinite(logits))
            yield (
                f"{fraction:.1%} of the teacher's outputs{which} are NaN or "
                "infinite: look for a diverged training, or inputs that it "
                "was not trained on."
            )
        elif (
            logits.shape[-1] > 1
            and logits.min() >= 0
            and np.allclose(logits.sum(axis=-1), 1, atol=1e-3)
        ):
            yield (
                f"The teacher's outputs{which} lie in [0, 1] and add up to "
                f"{logits.sum(axis=-1).mean():.3f}: they are probabilities "
                "already. Take the logits, before softmax."
            )


def on_accuracy(accuracy: Mapping[str, float]) -> Iterator[str]:
    """Finds a teacher that is hardly better than its student.

    Args:
        accuracy: {"teacher" or "student": accuracy}, or empty.
    """
    if len(accuracy) < 2:
        return
    teacher, student = accuracy["teacher"], accuracy["student"]
    if teacher - student >= _LEAST_GAIN:
        return
    yield (
        f"The accuracy of the teacher is {teacher:.1%}, of the student "
        f"{student:.1%}: there is little to learn from it. Check that the "
        "teacher gets its inputs as in its own training (`teacher_input`) and "
        "that classes have the same order; else train a better one."
    )


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


def on_gradients(shares: Mapping[str, float]) -> Iterator[str]:
    """Finds losses that hardly move the student.

    Args:
        shares: {loss: its share of the gradient}.
    """
    for name, share in shares.items():
        # NaN comes from outputs that are NaN, on which there is a finding.
        if not share < _LEAST_SHARE or name == "regularization_loss":
            continue
        if share == 0:
            remedy = "Give it a weight, or leave it out."
        else:
            factor = 0.1 * (1 - share) / (0.9 * share)
            remedy = (
                f"Multiply its weight by {factor:.2g} for a tenth, or leave "
                "it out."
            )
        yield f"{name} has {share:.2%} of the gradient. {remedy}"


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
