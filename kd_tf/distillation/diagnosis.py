"""What stands in the way of a distillation, found before time is spent on it.

Shapes: B examples, C classes.
"""

import contextlib
import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kd_tf.losses.response import sigmoid_target_loss
from kd_tf.models.graph import parts
from kd_tf.schedules import value_at

_LEAST_GAIN = 0.01  # of accuracy, for a teacher to be worth its time
_LEAST_SHARE = 0.01  # of the gradient, for a loss to be worth its time
_SHARP, _FLAT = 0.05, 0.99  # of the greatest possible entropy


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What `Distiller.diagnose` measured, and what follows from it.

    Attributes:
        num_examples: Number of examples looked at.
        accuracy: {"teacher" or "student": share in [0, 1]}; empty where
            there are no labels or answers are no classes. Of several answers,
            the mean.
        gradient_share: {loss: share of the summed gradient norms in [0, 1]},
            weighted as in training, on the first batch.
        teacher_entropy: {loss: entropy of the teacher's softened answers,
            as a share of the greatest possible}, for losses with a
            temperature.
        adapters_without_gradient: Names of layer pairs, student first.
        findings: Sentences, each with a figure and a remedy.
    """

    num_examples: int
    accuracy: dict
    gradient_share: dict
    teacher_entropy: dict
    adapters_without_gradient: list
    findings: list

    def summary(self):
        """All figures in one line."""
        said = [f"{self.num_examples} examples"]
        said += [f"{k} {v:.1%} right" for k, v in self.accuracy.items()]
        shares = [f"{k} {v:.1%}" for k, v in self.gradient_share.items()]
        said.append(f"gradient: {', '.join(shares)}")
        said += [
            f"entropy of the teacher under {k}: {v:.1%} of the greatest"
            for k, v in self.teacher_entropy.items()
        ]
        return "; ".join(said)

    def __str__(self):
        return "\n".join([self.summary(), *self.findings])


def diagnose(distiller, data):
    """Measures a Distiller on data without changing it.

    Args:
        distiller: `Distiller`; compiled, for the label loss to be counted.
        data: Iterable of batches, as `fit` takes them.

    Returns:
        `Diagnosis`.

    Raises:
        ValueError: if there is no data.
    """
    shares, idle, doubts, counts, accuracies, entropies = {}, [], [], [], [], []
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
        taught, learnt, labels = _numpy((teacher.answers, student, y))
        counts.append(len(next(iter(taught.values()))))
        accuracies.append(_accuracies(taught, learnt, labels))
        entropies.append(_entropies(distiller, taught))
        doubts = doubts or list(_on_answers(taught))
    if not counts:
        raise ValueError(
            "There is nothing to diagnose. Allowed: at least one batch. "
            "Received: none"
        )
    accuracy = _averages(accuracies, counts)
    entropy = _averages(entropies, counts)
    findings = [
        *doubts,
        *_on_accuracy(accuracy),
        *_on_entropy(entropy),
        *_on_shares(shares),
        *_on_adapters(idle),
    ]
    return Diagnosis(sum(counts), accuracy, shares, entropy, idle, findings)


def _averages(batches, counts):
    """Of what was measured on every batch."""
    return {
        name: float(np.average([b[name] for b in batches], weights=counts))
        for name in batches[0]
        if all(name in batch for batch in batches)
    }


def _gradients(distiller, x, y, teacher, sample_weight):
    """{loss: share of the gradient}, and the adapters that get none."""
    with tf.GradientTape(persistent=True) as tape:
        # Inference mode: statistics and random states stay as they are.
        student = distiller.tapped_student(x, training=False)
        losses = distiller.compute_losses(x, y, student, teacher, sample_weight)
        weights = distiller.loss_weights(losses)
        weighted = {name: weights[name] * loss for name, loss in losses.items()}
        # Uncompiled, it may lack the loss on labels that `combine` asks for.
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
def _keeping_metrics(distiller):
    """Keras counts the losses of several answers wherever it computes them."""
    before = {id(v): v.numpy() for v in distiller.metrics_variables}
    yield
    for variable in distiller.metrics_variables:
        # One that was not there begins at 0.
        variable.assign(before.get(id(variable), ops.zeros_like(variable)))


def _norm(gradients):
    return float(tf.linalg.global_norm([g for g in gradients if g is not None]))


def _accuracies(teacher, student, y):
    right = {"teacher": [], "student": []}
    for name in teacher:
        labels = y.get(name, y.get(None))
        if labels is None or name not in student:
            continue
        for who, answers in (("teacher", teacher), ("student", student)):
            classes = _as_classes(labels, answers[name])
            if classes is not None:
                right[who].append(
                    np.mean(answers[name].argmax(axis=-1) == classes)
                )
    return {who: float(np.mean(r)) for who, r in right.items() if r}


def _as_classes(labels, logits):
    """Labels as class numbers, or None if they are none."""
    if logits.ndim < 2 or logits.shape[-1] < 2:
        return None
    if labels.shape == logits.shape:
        # One class an answer: several would be a matter of thresholds.
        is_one_hot = np.allclose(labels.sum(axis=-1), 1)
        return labels.argmax(axis=-1) if is_one_hot else None
    if labels.size != logits[..., 0].size:
        return None
    return labels.reshape(logits.shape[:-1])


def _entropies(distiller, teacher):
    found = {}
    for bound_loss in distiller.bound_losses:
        term = bound_loss.term
        temperature = term.temperature
        if temperature is None or term.spec.knowledge != "response":
            continue
        if term.spec.function is sigmoid_target_loss:
            continue  # its classes share no distribution
        temperature = value_at(temperature, distiller.step)
        shares = []
        for name, logits in teacher.items():
            if term.output in (None, name) and logits.shape[-1] > 1:
                logits = ops.cast(logits, "float32")
                if term.transform:
                    logits = term.transform(logits)
                log_p = ops.log_softmax(logits / temperature, axis=-1)
                entropy = -ops.sum(ops.exp(log_p) * log_p, axis=-1)
                greatest = math.log(logits.shape[-1])
                shares.append(float(ops.mean(entropy)) / greatest)
        if shares:
            found[bound_loss.name] = float(np.mean(shares))
    return found


def _on_answers(teacher):
    for name, logits in teacher.items():
        which = "" if name is None else f" for {name!r}"
        if not np.isfinite(logits).all():
            share = np.mean(~np.isfinite(logits))
            yield (
                f"{share:.1%} of the teacher's answers{which} are no finite "
                "numbers: look for a diverged training, or inputs it was not "
                "made for."
            )
        elif (
            logits.shape[-1] > 1
            and logits.min() >= 0
            and np.allclose(logits.sum(axis=-1), 1, atol=1e-3)
        ):
            yield (
                f"The teacher's answers{which} lie in [0, 1] and add up to "
                f"{logits.sum(axis=-1).mean():.3f}: they are probabilities "
                "already. Take the logits, before softmax."
            )


def _on_accuracy(accuracy):
    if len(accuracy) < 2:
        return
    teacher, student = accuracy["teacher"], accuracy["student"]
    if teacher - student >= _LEAST_GAIN:
        return
    yield (
        f"The teacher gets {teacher:.1%} right, the student {student:.1%}: "
        "it has little to teach. Check that the teacher sees its inputs as "
        "in its own training (`teacher_input`) and that classes have the same "
        "order; else train a better one."
    )


def _on_entropy(entropies):
    for name, share in entropies.items():
        if share < _SHARP:
            yield (
                f"Under {name} the softened teacher has {share:.1%} of the "
                "greatest entropy: it says little more than the labels. Raise "
                "the temperature."
            )
        elif share > _FLAT:
            yield (
                f"Under {name} the softened teacher has {share:.1%} of the "
                "greatest entropy: all classes look alike. Lower the "
                "temperature."
            )


def _on_shares(shares):
    for name, share in shares.items():
        # Not a number: the answers, on which there is a finding, are none.
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


def _on_adapters(idle):
    for name in idle:
        yield (
            f"The adapter of {name} gets a gradient of 0: it learns nothing. "
            "Give its loss a weight, or pair other layers."
        )


def _tensor(x):
    # As `fit` does: losses between layers take no weights but tensors.
    return tf.convert_to_tensor(x) if isinstance(x, np.ndarray) else x


def _numpy(batch):
    return [
        {}
        if nested is None
        else {name: np.asarray(x) for name, x in parts(nested).items()}
        for nested in batch
    ]
