"""Measures a distillation before its first step.

Shapes: B examples, C classes.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kd_tf.distillation import findings
from kd_tf.distillation.batches import batches
from kd_tf.distillation.gradient_shares import (
    GradientShares,
    gradient_shares,
    run_both,
)
from kd_tf.distillation.measures import has_weight, in_order, measure_batch
from kd_tf.distillation.random_states import random_states
from kd_tf.distillation.totals import accuracies, add_figures, entropies
from kd_tf.results import DiagnosisRecord

# Named for the reader: the Distiller imports this module, not the reverse.
Distiller = Any


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Measurements of `Distiller.diagnose`, and what follows from them.

    Attributes:
        num_examples: Number of examples measured on, without those of
            weight 0.
        accuracy: {"teacher" or "student": accuracy in [0, 1]}; empty where
            there are no labels or outputs are no classes. Of several outputs,
            the mean. Several teachers are "teacher 0", "teacher 1", ....
            Ignored labels and masked steps are left out.
        majority_share: Share of the most frequent class among the labels, in
            [0, 1]: the accuracy of a model that always predicts it. None
            where there is no accuracy.
        gradient_share: {loss: share of the summed gradient norms in [0, 1]},
            weighted as in training, on the first batch.
        teacher_entropy: {loss: entropy of the teacher's softened outputs,
            as a fraction of the greatest possible}, for losses that apply
            softmax at a temperature.
        adapters_without_gradient: Names of layer pairs, student first.
        findings: Sentences, each with a figure and a remedy.
    """

    num_examples: int
    accuracy: dict[str, float]
    majority_share: float | None
    gradient_share: dict[str, float]
    teacher_entropy: dict[str, float]
    adapters_without_gradient: list[str]
    findings: list[str]

    def summary(self) -> str:
        """All figures in one line."""
        figures = [f"{self.num_examples} examples"]
        figures += [f"{k} {v:.1%} right" for k, v in self.accuracy.items()]
        if self.majority_share is not None:
            figures.append(f"most frequent class {self.majority_share:.1%}")
        shares = [f"{k} {v:.1%}" for k, v in self.gradient_share.items()]
        figures.append(f"gradient: {', '.join(shares)}")
        figures += [
            f"entropy of the teacher under {k}: {v:.1%} of the greatest"
            for k, v in self.teacher_entropy.items()
        ]
        return "; ".join(figures)

    def record(self) -> DiagnosisRecord:
        """The part that results of a run keep; shares of NaN become None."""
        shares = {
            name: share if math.isfinite(share) else None
            for name, share in self.gradient_share.items()
        }
        return DiagnosisRecord(self.summary(), self.findings, shares)

    def __str__(self) -> str:
        return "\n".join([self.summary(), *self.findings])


def diagnose(
    distiller: Distiller,
    data: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    steps: int | None = None,
    batch_size: int | None = None,
) -> Diagnosis:
    """Measures a Distiller on data without changing it.

    Args:
        distiller: `Distiller`; compiled, for the label loss to be counted.
        data: As `fit` takes it: inputs as arrays, a tuple (x, y) or (x, y,
            sample weights) of arrays, a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, a generator, or an iterable of batches. A
            list is taken for batches, unless labels come beside it.
        y: Labels, where `data` is inputs as arrays.
        sample_weight: Weights, where `data` is inputs as arrays. Examples of
            weight 0 are left out.
        steps: Number of batches at most; None for all.
        batch_size: B, where `data` is arrays; 32 if None.

    Returns:
        `Diagnosis`.

    Raises:
        ValueError: if there is no data, or an argument is out of its range.

    Example:
        print(distiller.diagnose(x, y, steps=10))
    """
    with _keeping_states(distiller):
        figures, gradients = _measured(
            distiller,
            batches(
                data,
                y,
                sample_weight=sample_weight,
                steps=steps,
                batch_size=batch_size,
            ),
        )
    num_examples, num_seen = (
        int(figures[0]["examples"][which]) for which in ("counted", "seen")
    )
    sentences = list(findings.on_sample_weights(num_examples, num_seen))
    accuracy: dict[str, float] = {}
    entropy: dict[str, float] = {}
    majority_share = None
    for i, of_teacher in enumerate(figures):
        who = "teacher" if len(figures) == 1 else f"teacher {i}"
        right, majority_share, num_labels = accuracies(of_teacher["outputs"])
        accuracy |= {who if k == "teacher" else k: v for k, v in right.items()}
        entropy |= entropies(of_teacher["entropy"])
        sentences += findings.on_outputs(of_teacher["outputs"], who=who)
        if i == 0:
            sentences += findings.on_labels(of_teacher["outputs"])
        sentences += findings.on_accuracy(
            right,
            majority_share=majority_share,
            num_labels=num_labels,
            who=who,
        )
    sentences += findings.on_entropy(entropy)
    if num_examples:
        sentences += findings.on_gradients(gradients)
    return Diagnosis(
        num_examples,
        accuracy,
        majority_share,
        gradients.shares,
        entropy,
        gradients.idle_adapters,
        sentences,
    )


def _measured(
    distiller: Distiller, some: Iterator[Any]
) -> tuple[list[dict[str, Any]], GradientShares]:
    """Figures of each teacher over all batches, and gradients on the first.

    The first that has any weight, for the others say nothing of gradients.
    """
    unpack = keras.utils.unpack_x_y_sample_weight
    measure = _measuring(distiller)
    first, gradients, totals = None, None, None
    for batch in some:
        first = batch if first is None else first
        if gradients is None and has_weight(unpack(batch)[2]):
            gradients = gradient_shares(distiller, *unpack(batch))
        figures = measure(batch)
        totals = figures if totals is None else add_figures(totals, figures)
    if totals is None:
        raise ValueError(
            "There is nothing to diagnose. Give at least one batch. "
            "Received: none"
        )
    if gradients is None:
        gradients = gradient_shares(distiller, *unpack(first))
    return keras.tree.map_structure(np.asarray, totals), gradients


def _measuring(distiller: Distiller) -> Callable[[Any], Any]:
    """A function of a batch, in graph mode as `fit` runs its steps."""

    def measure(batch: Any) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        student, teacher = run_both(distiller, x)
        names = getattr(distiller.student, "output_names", [])
        several = isinstance(distiller.teacher, list)
        return [
            measure_batch(
                outputs,
                student.outputs,
                y=in_order(y, student.outputs, names),
                sample_weight=in_order(sample_weight, student.outputs, names),
                bound_losses=[
                    bound_loss
                    for bound_loss in distiller.bound_losses
                    if bound_loss.loss_term.teacher in (None, i)
                ],
                step=distiller.step,
            )
            for i, outputs in enumerate(
                teacher.outputs if several else [teacher.outputs]
            )
        ]

    if distiller.run_eagerly:
        return measure
    graph = tf.function(measure, autograph=False, reduce_retracing=True)

    def in_graph(batch: Any) -> Any:
        if not graph.experimental_get_tracing_count():
            # One trace for every B, the last and smaller one included.
            graph.get_concrete_function(
                keras.tree.map_structure(_of_any_size, batch)
            )
        return graph(batch)

    return in_graph


def _of_any_size(x: Any) -> Any:
    if not isinstance(x, tf.Tensor) or x.shape.rank == 0:
        return x
    return tf.TensorSpec((None, *x.shape[1:]), x.dtype)


@contextlib.contextmanager
def _keeping_states(distiller: Distiller) -> Iterator[None]:
    """Puts back what losses may change: metrics and random states.

    Keras counts the losses of several outputs wherever it computes them.
    """

    def states() -> list[Any]:
        models = [distiller, *_teachers(distiller)]
        generators = [v for m in models for v in random_states(m).values()]
        return [*distiller.metrics_variables, *generators]

    before = {id(v): v.numpy() for v in states()}
    yield
    for variable in states():
        # One that was not there begins at 0.
        variable.assign(before.get(id(variable), ops.zeros_like(variable)))


def _teachers(distiller: Distiller) -> list[keras.Model]:
    """Those that the Distiller runs; none where outputs come with the data."""
    teacher = distiller.teacher
    if isinstance(teacher, list):
        return teacher
    return [] if teacher is None else [teacher]
