"""Measures a distillation before its first step.

Shapes: B examples, C classes.
"""

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kd_tf.distillation import findings
from kd_tf.distillation.bound_loss import BoundLoss
from kd_tf.distillation.taps import Forward
from kd_tf.models.graph import outputs_by_name
from kd_tf.results import DiagnosisRecord
from kd_tf.schedules import value_at

# Named for the reader: the Distiller imports this module, not the reverse.
Distiller = Any
Arrays = dict[Any, np.ndarray]  # by name of the output, None if there is one


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """Measurements of `Distiller.diagnose`, and what follows from them.

    Attributes:
        num_examples: Number of examples measured on.
        accuracy: {"teacher" or "student": accuracy in [0, 1]}; empty where
            there are no labels or outputs are no classes. Of several outputs,
            the mean.
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
    gradient_share: dict[str, float]
    teacher_entropy: dict[str, float]
    adapters_without_gradient: list[str]
    findings: list[str]

    def summary(self) -> str:
        """All figures in one line."""
        figures = [f"{self.num_examples} examples"]
        figures += [f"{k} {v:.1%} right" for k, v in self.accuracy.items()]
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


def diagnose(distiller: Distiller, data: Iterable[Any]) -> Diagnosis:
    """Measures a Distiller on data without changing it.

    Args:
        distiller: `Distiller`; compiled, for the label loss to be counted.
        data: Iterable of batches, as `fit` takes them.

    Returns:
        `Diagnosis`.

    Raises:
        ValueError: if there is no data.
    """
    shares: dict[str, float] = {}
    idle: list[str] = []
    on_outputs: list[str] = []
    counts: list[int] = []
    accuracies, entropies = [], []
    for batch in data:
        batch = keras.tree.map_structure(_tensor, batch)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        teacher = distiller.frozen_teacher(x)
        if not counts:
            with _keeping_metrics(distiller):
                shares, idle = _gradients(
                    distiller, x, y, teacher, sample_weight
                )
        student = distiller.student(x, training=False)
        taught, learnt, labels = map(_arrays, (teacher.outputs, student, y))
        counts.append(len(next(iter(taught.values()))))
        accuracies.append(_accuracies(taught, learnt, labels))
        entropies.append(_entropies(distiller, taught))
        on_outputs = on_outputs or list(findings.on_outputs(taught))
    if not counts:
        raise ValueError(
            "There is nothing to diagnose. Give at least one batch. "
            "Received: none"
        )
    accuracy = _averages(accuracies, counts)
    entropy = _averages(entropies, counts)
    sentences = [
        *on_outputs,
        *findings.on_accuracy(accuracy),
        *findings.on_entropy(entropy),
        *findings.on_gradients(shares),
        *findings.on_adapters(idle),
    ]
    return Diagnosis(sum(counts), accuracy, shares, entropy, idle, sentences)


def _averages(
    batches: Sequence[Mapping[str, float]], counts: Sequence[int]
) -> dict[str, float]:
    """Means over all batches, of what was measured on each of them."""
    return {
        name: float(np.average([b[name] for b in batches], weights=counts))
        for name in batches[0]
        if all(name in batch for batch in batches)
    }


def _gradients(
    distiller: Distiller,
    x: Any,
    y: Any,
    teacher: Forward,
    sample_weight: Any,
) -> tuple[dict[str, float], list[str]]:
    """{loss: share of the gradient}, and the adapters that get none."""
    with tf.GradientTape(persistent=True) as tape:
        # Inference mode: statistics and random states stay as they are.
        student = distiller.tapped_student(x, training=False)
        losses = distiller.compute_losses(x, y, student, teacher, sample_weight)
        weights = distiller.loss_weights(losses)
        weighted = {name: weights[name] * loss for name, loss in losses.items()}
        # Uncompiled, it may lack the loss on labels that `combine` needs.
        total = (
            distiller.combine(losses)
            if distiller.compiled
            else sum(weighted.values())
        )
    variables = distiller.student.trainable_variables
    norms = {
        name: _norm(tape.gradient(loss, variables))
        for name, loss in weighted.items()
    }
    whole = sum(norms.values())
    idle = [
        f"{bound_loss.name}: {' -> '.join(pair)}"
        for bound_loss in distiller.bound_losses
        for pair, adapter in zip(
            bound_loss.pairs, bound_loss.adapters, strict=True
        )
        if adapter.trainable_variables
        and _norm(tape.gradient(total, adapter.trainable_variables)) == 0
    ]
    return {k: v / whole if whole else 0.0 for k, v in norms.items()}, idle


@contextlib.contextmanager
def _keeping_metrics(distiller: Distiller) -> Iterator[None]:
    """Keras counts the losses of several outputs wherever it computes them."""
    before = {id(v): v.numpy() for v in distiller.metrics_variables}
    yield
    for variable in distiller.metrics_variables:
        # One that was not there begins at 0.
        variable.assign(before.get(id(variable), ops.zeros_like(variable)))


def _norm(gradients: Iterable[Any]) -> float:
    return float(tf.linalg.global_norm([g for g in gradients if g is not None]))


def _accuracies(
    teacher: Arrays, student: Arrays, y: Arrays
) -> dict[str, float]:
    right: dict[str, list[float]] = {"teacher": [], "student": []}
    for name in teacher:
        labels = y.get(name, y.get(None))
        if labels is None or name not in student:
            continue
        for who, outputs in (("teacher", teacher), ("student", student)):
            classes = _as_classes(labels, outputs[name])
            if classes is not None:
                is_right = outputs[name].argmax(axis=-1) == classes
                right[who].append(float(np.mean(is_right)))
    return {who: float(np.mean(r)) for who, r in right.items() if r}


def _as_classes(labels: np.ndarray, logits: np.ndarray) -> np.ndarray | None:
    """Labels as class numbers, or None if they are none."""
    if logits.ndim < 2 or logits.shape[-1] < 2:
        return None
    if labels.shape == logits.shape:
        # One class an output: several would be a matter of thresholds.
        is_one_hot = np.allclose(labels.sum(axis=-1), 1)
        return labels.argmax(axis=-1) if is_one_hot else None
    if labels.size != logits[..., 0].size:
        return None
    return labels.reshape(logits.shape[:-1])


def _entropies(distiller: Distiller, teacher: Arrays) -> dict[str, float]:
    entropies = {}
    for bound_loss in distiller.bound_losses:
        fractions = list(
            _entropy_fractions(bound_loss, teacher, distiller.step)
        )
        if fractions:
            entropies[bound_loss.name] = float(np.mean(fractions))
    return entropies


def _entropy_fractions(
    bound_loss: BoundLoss, teacher: Arrays, step: Any
) -> Iterator[float]:
    """Of each output that a loss applies softmax to."""
    loss_term = bound_loss.loss_term
    if not loss_term.spec.uses_softmax or loss_term.temperature is None:
        return
    temperature = value_at(loss_term.temperature, step)
    for name, logits in teacher.items():
        if loss_term.output in (None, name) and logits.shape[-1] > 1:
            logits = ops.cast(logits, "float32")
            if loss_term.transform:
                logits = loss_term.transform(logits)
            log_p = ops.log_softmax(logits / temperature, axis=-1)
            entropy = -ops.sum(ops.exp(log_p) * log_p, axis=-1)
            yield float(ops.mean(entropy)) / math.log(logits.shape[-1])


def _tensor(x: Any) -> Any:
    # As `fit` does: losses between layers take no weights but tensors.
    return tf.convert_to_tensor(x) if isinstance(x, np.ndarray) else x


def _arrays(nested: Any) -> Arrays:
    if nested is None:
        return {}
    return {name: np.asarray(x) for name, x in outputs_by_name(nested).items()}
