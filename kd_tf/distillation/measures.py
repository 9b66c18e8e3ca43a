"""What a diagnosis counts on one batch: sums of tensors, no averages.

Shapes: B examples, C classes; "..." stands for axes that an example's output
may have, such as height and width, or steps; N for the positions B x ....
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from kd_tf.models.graph import outputs_by_name
from kd_tf.schedules import value_at

Tensor = Any
Figures = dict[str, Any]


def measure_batch(
    teacher: Any,
    student: Any,
    *,
    y: Any,
    sample_weight: Any,
    bound_losses: Iterable[Any],
    step: Any,
) -> Figures:
    """Counts what a diagnosis needs to know, on one batch.

    Positions count whose label is a class, that no Keras mask hides and no
    sample weight of 0 leaves out.

    Args:
        teacher: Outputs of the teacher: logits (B, ..., C), or a list or dict.
        student: Outputs of the student, nested likewise.
        y: Labels, nested likewise, or None: class numbers or one-hot rows.
        sample_weight: Weights, nested likewise or one for each example, or
            None.
        bound_losses: `BoundLoss`es; those with softmax have an entropy.
        step: Scalar, for schedules of the temperature.

    Returns:
        Nested dict of scalars, which may be added over batches, and of
        numbers of labels by class (C,).
    """
    taught, learnt = outputs_by_name(teacher), outputs_by_name(student)
    labels, weights = outputs_by_name(y), outputs_by_name(sample_weight)
    figures: dict[Any, Any] = {}
    counted = {}
    for name, logits in taught.items():
        figures[name] = _of_outputs(logits)
        student_logits = learnt.get(name)
        is_counted = _is_counted(
            logits, student_logits, weights.get(name, weights.get(None))
        )
        label = labels.get(name, labels.get(None))
        if student_logits is not None and label is not None:
            accuracy, is_counted = _accuracy(
                logits, student_logits, label, is_counted=is_counted
            )
            figures[name].update(accuracy)
        counted[name] = is_counted
    return {
        "examples": _num_examples(taught, sample_weight),
        "outputs": figures,
        "entropy": _entropies(taught, counted, bound_losses, step),
    }


def in_order(nested: Any, outputs: Any, names: Iterable[str]) -> Any:
    """Labels given as a dict, in a list where the outputs are one."""
    if isinstance(outputs, (list, tuple)) and isinstance(nested, dict):
        return [nested.get(name) for name in names]
    return nested


def has_weight(sample_weight: Any) -> Tensor:
    """Whether any example of a batch counts."""
    given = [w for w in tf.nest.flatten(sample_weight) if w is not None]
    if not given:
        return tf.constant(True)
    return tf.reduce_any([tf.reduce_any(w != 0) for w in given])


def _num_examples(taught: Mapping[Any, Tensor], sample_weight: Any) -> Figures:
    count = tf.shape(next(iter(taught.values())), tf.int64)[0]
    given = [w for w in tf.nest.flatten(sample_weight) if w is not None]
    if not given:
        return {"seen": count, "counted": count}
    has_any = [
        tf.reduce_any(tf.reshape(w, (tf.shape(w)[0], -1)) != 0, axis=1)
        for w in given
    ]
    return {"seen": count, "counted": _count(tf.reduce_any(has_any, axis=0))}


def _of_outputs(logits: Tensor) -> Figures:
    """Of numbers that are no logits: not finite, or probabilities."""
    logits = tf.cast(logits, tf.float32)
    rows = tf.reduce_sum(logits, axis=-1) if logits.shape.rank > 1 else logits
    is_distribution = tf.abs(rows - 1) <= 1e-3
    if logits.shape.rank < 2 or logits.shape[-1] == 1:
        # One positive value is no distribution.
        is_distribution = tf.zeros_like(is_distribution)
    return {
        "values": tf.size(logits, tf.int64),
        "not finite": _count(~tf.math.is_finite(logits)),
        "negative": _count(logits < 0),
        "not a distribution": _count(~is_distribution),
    }


def _is_counted(logits: Tensor, student_logits: Any, weight: Any) -> Tensor:
    """Positions that no mask and no weight of 0 leaves out, bool (B, ...)."""
    shape = tf.shape(logits)[:-1] if logits.shape.rank > 1 else tf.shape(logits)
    is_counted = tf.ones(shape, tf.bool)
    masks = [getattr(x, "_keras_mask", None) for x in (logits, student_logits)]
    for mask in (*masks, None if weight is None else weight != 0):
        if mask is not None:
            is_counted &= _fitting(mask, is_counted.shape.rank)
    return is_counted


def _fitting(mask: Tensor, rank: int) -> Tensor:
    """A mask with as many axes, the leading ones its own."""
    mask = tf.cast(mask, tf.bool)
    if mask.shape.rank > rank:
        return tf.reduce_any(mask, axis=list(range(rank, mask.shape.rank)))
    for _ in range(rank - mask.shape.rank):
        mask = mask[..., None]
    return mask


def _accuracy(
    teacher: Tensor, student: Tensor, labels: Tensor, *, is_counted: Tensor
) -> tuple[Figures, Tensor]:
    """Numbers of positions, and which of them say something of the teacher.

    Those are all where no label is a class: data without labels.
    """
    found = _classes(labels, teacher)
    if found is None:
        return {}, is_counted
    classes, is_none = found
    num_classes = teacher.shape[-1]
    # A label that is no class is an ignored one, such as 255 or -1.
    is_labelled = (classes >= 0) & (classes < num_classes)
    is_right = [
        is_counted & is_labelled & (tf.argmax(x, axis=-1) == classes)
        for x in (teacher, student)
    ]
    chosen = tf.boolean_mask(classes, is_counted & is_labelled)
    return {
        "labels": _count(is_counted),
        "several classes": _count(is_none),
        "teacher": _count(is_right[0]),
        "student": _count(is_right[1]),
        "of class": tf.math.bincount(
            tf.cast(chosen, tf.int32),
            minlength=num_classes,
            maxlength=num_classes,
            dtype=tf.int64,
        ),
    }, is_counted & (is_labelled | ~tf.reduce_any(is_counted & is_labelled))


def _classes(labels: Tensor, logits: Tensor) -> tuple[Tensor, Tensor] | None:
    """Labels as class numbers int64 (B, ...), and where they are none."""
    if logits.shape.rank < 2 or (logits.shape[-1] or 0) < 2:
        return None
    if labels.shape.rank == logits.shape.rank and (
        labels.shape[1:].is_compatible_with(logits.shape[1:])
        and labels.shape[-1] != 1
    ):
        # One class an output: several would be a matter of thresholds.
        total = tf.reduce_sum(tf.cast(labels, tf.float32), axis=-1)
        is_class = tf.abs(total - 1) <= 1e-4
        # Rows of zeros are the ignored positions of a grid.
        is_ignored = (total == 0) & (logits.shape.rank > 2)
        classes = tf.where(
            is_ignored, tf.constant(-1, tf.int64), tf.argmax(labels, axis=-1)
        )
        return classes, ~is_class & ~is_ignored
    sizes = {s.num_elements() for s in (labels.shape[1:], logits.shape[1:-1])}
    is_of_rank = labels.shape.rank == logits.shape.rank - 1 or (
        labels.shape.rank == logits.shape.rank and labels.shape[-1] == 1
    )
    if len(sizes) != 1 and not (None in sizes and is_of_rank):
        return None
    classes = tf.reshape(labels, tf.shape(logits)[:-1])
    return tf.cast(classes, tf.int64), tf.zeros_like(classes, tf.bool)


def _entropies(
    taught: Mapping[Any, Tensor],
    counted: Mapping[Any, Tensor],
    bound_losses: Iterable[Any],
    step: Any,
) -> Figures:
    """{loss: {output: sum and number}} where a loss applies softmax."""
    entropies = {}
    for bound_loss in bound_losses:
        loss_term = bound_loss.loss_term
        if not loss_term.spec.uses_softmax or loss_term.temperature is None:
            continue
        temperature = value_at(loss_term.temperature, step)
        of_outputs = {
            name: _entropy(
                taught[name], counted[name], temperature, loss_term.transform
            )
            for name in _names(loss_term, taught)
        }
        if of_outputs:
            entropies[bound_loss.name] = of_outputs
    return entropies


def _names(loss_term: Any, taught: Mapping[Any, Tensor]) -> Iterator[Any]:
    """Of the teacher's outputs that a loss compares."""
    wanted = loss_term.key_of(loss_term.output)
    for name, logits in taught.items():
        has_classes = logits.shape.rank > 1 and logits.shape[-1] != 1
        if wanted in (None, name) and has_classes:
            yield name


def _entropy(
    logits: Tensor, is_counted: Tensor, temperature: Any, transform: Any
) -> Figures:
    logits = tf.cast(logits, tf.float32)
    if transform:
        logits = transform(logits)
    log_p = tf.nn.log_softmax(logits / temperature, axis=-1)
    entropy = -tf.reduce_sum(tf.exp(log_p) * log_p, axis=-1)
    share = entropy / math.log(logits.shape[-1])
    return {
        "sum": tf.reduce_sum(tf.cast(share[is_counted], tf.float64)),
        "count": _count(is_counted),
    }


def _count(is_so: Tensor) -> Tensor:
    return tf.math.count_nonzero(is_so)
