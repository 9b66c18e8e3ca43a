"""A loss between two given models: what it looks at, and its adapters.

Shapes: B examples.
"""

import itertools

import keras
from absl import logging
from keras import ops

from kd_tf.distillation.layer_pairs import propose_pairs
from kd_tf.distillation.taps import activation_shapes
from kd_tf.models.graph import answering_operations, parts
from kd_tf.schedules import value_at


class BoundLoss(keras.layers.Layer):
    """Applies a loss to what a student and its teacher gave for a batch.

    A layer, so that the adapters it holds are trained and saved with the
    Distiller.

    Args:
        term: `LossTerm`.
        student: `keras.Model`.
        teacher: `keras.Model`.

    Raises:
        ValueError: if a layer does not exist or a pair cannot be matched.
    """

    def __init__(self, term, student, teacher):
        super().__init__(name=term.name, dtype="float32")
        self.term = term
        self.output_names = getattr(student, "output_names", [])
        self.pairs = _pairs(term, student, teacher)
        shapes = [
            activation_shapes(model, [pair[i] for pair in self.pairs])
            if self.pairs
            else {}
            for i, model in enumerate((student, teacher))
        ]
        self.adapters = [
            self._adapter(shapes[0][s], shapes[1][t]) for s, t in self.pairs
        ]
        self.built = True
        for (s, t), adapter in zip(self.pairs, self.adapters, strict=True):
            logging.info(
                "%s: student '%s' %s learns from teacher '%s' %s; "
                "its adapter has %d parameters",
                *(term.name, s, shapes[0][s], t, shapes[1][t]),
                adapter.count_params(),
            )

    def loss(self, student, teacher, y, sample_weight, step):
        """The weighted mean over the batch, a float32 scalar.

        Args:
            student: `Forward` of the student.
            teacher: `Forward` of the teacher.
            y: Labels, nested as the answers are, or None.
            sample_weight: Weights, one for each example or nested as the
                answers are, or None.
            step: Scalar, for schedules.
        """
        arguments = {
            name: value_at(value, step)
            for name, value in self.term.arguments.items()
        }
        if self.pairs:
            return self._between_layers(
                student, teacher, y, sample_weight, arguments
            )
        if self.term.spec.is_whole:
            pair = student.answers, teacher.answers
            if self.term.output is not None:
                pair = [parts(answers)[self.term.output] for answers in pair]
            return _mean(self._call(*pair, None, arguments), None)
        return self._between_answers(
            student.answers, teacher.answers, y, sample_weight, arguments
        )

    def _between_layers(self, student, teacher, y, sample_weight, arguments):
        adapted = [
            adapter(
                student.activations[s],
                teacher.activations[t],
                training=student.training,
            )
            for (s, t), adapter in zip(self.pairs, self.adapters, strict=True)
        ]
        if self.term.spec.num_layers == 2:
            adapted = [
                tuple(zip(early, late, strict=True))
                for early, late in itertools.pairwise(adapted)
            ]
        # Weights of single answers say nothing of an inner layer.
        nested = isinstance(sample_weight, (dict, list, tuple))
        weights = None if nested else sample_weight
        losses = [
            _mean(self._call(*inputs[:2], y, arguments, inputs[2:]), weights)
            for inputs in adapted
        ]
        return sum(losses) / len(losses)

    def _between_answers(self, student, teacher, y, sample_weight, arguments):
        if isinstance(student, (list, tuple)):
            y, sample_weight = self._in_order(y), self._in_order(sample_weight)
        student, teacher = parts(student), parts(teacher)
        names = [*student] if self.term.output is None else [self.term.output]
        total = 0.0
        for name in names:
            pair = student[name], teacher[name]
            if self.term.transform:
                pair = [self.term.transform(logits) for logits in pair]
            values = self._call(*pair, part(y, name), arguments)
            # The student's own answer carries the mask, if there is one.
            total += _mean(values, part(sample_weight, name), student[name])
        return total

    def _in_order(self, nested):
        """A list of what Keras takes by the names of layers, too."""
        if isinstance(nested, dict):
            return [nested.get(name) for name in self.output_names]
        return nested

    def _call(self, student, teacher, labels, arguments, further=()):
        if self.term.takes_labels:
            if labels is None:
                raise ValueError(
                    f"Loss '{self.name}' needs labels. Allowed: data with "
                    "labels for every answer it concerns. Received: none"
                )
            arguments = {**arguments, "labels": labels}
        values = self.term.spec.function(
            student, teacher, *further, **arguments
        )
        if len(values.shape) == 0 and not self.term.spec.is_whole:
            raise ValueError(
                f"Loss '{self.name}' must give one value an example. Allowed: "
                "a tensor (B,), or (B, ...). Received: a scalar"
            )
        return values

    def _adapter(self, student_shape, teacher_shape):
        kind = self.term.spec
        if kind.needs_grid and min(len(student_shape), len(teacher_shape)) < 3:
            raise ValueError(
                f"Loss '{self.name}' compares grids. Allowed: layers with an "
                "axis between examples and channels. Received: student "
                f"{student_shape}, teacher {teacher_shape}"
            )
        return kind.adapter(student_shape, teacher_shape, kind.equal)


def check_answers_match(student, teacher, term):
    """Refuses models that are seen not to answer alike what a term compares.

    Raises:
        ValueError: if so.
    """
    compares_all = term.spec.is_whole and term.output is None
    if term.pairs is not None or compares_all:
        return
    student, teacher = map(list, map(answering_operations, (student, teacher)))
    wanted = student if term.output is None else [term.output]
    if student and teacher and not set(wanted) <= set(teacher):
        raise ValueError(
            f"Loss '{term.name}' finds no such answers of the teacher. "
            "Allowed: models that answer alike; take the ones you want with "
            "keras.Model(teacher.inputs, teacher.outputs[0]). Received: "
            f"student {student}, teacher {teacher}"
        )


def part(nested, name):
    """That of one answer, out of labels or weights nested in any way."""
    if not isinstance(nested, (dict, list, tuple)):
        return nested
    nested = parts(nested)
    if name is None and len(nested) == 1:
        [name] = nested
    return nested.get(name)


def _pairs(term, student, teacher):
    if term.pairs != "auto":
        return [tuple(pair) for pair in term.pairs or ()]
    pairs = propose_pairs(student, teacher, with_grid=term.spec.needs_grid)
    if term.spec.knowledge == "relation":
        return pairs[-1:]  # the deepest: relations are between whole examples
    if len(pairs) < term.spec.num_layers:
        raise ValueError(
            f"Loss '{term.name}' looks at {term.spec.num_layers} layers "
            f"together. Allowed: models of as many stages. Received: {pairs}"
        )
    return pairs


class _Mean(keras.losses.Loss):
    """Averages as Keras does: masks, weights and replicas included."""

    def __init__(self):
        super().__init__(name="mean")

    def call(self, values, answers):
        return values


def _mean(values, sample_weight, answers=None):
    if len(values.shape) == 0:
        return values  # Keras's own losses reduce themselves
    if sample_weight is not None:
        sample_weight = ops.convert_to_tensor(sample_weight)
        missing = len(values.shape) - len(sample_weight.shape)
        if missing > 0:
            # One weight an example weighs all the answers it has.
            sample_weight = ops.reshape(
                sample_weight, (*ops.shape(sample_weight), *[1] * missing)
            )
        if missing < 0:
            # An example with one value has the mean weight of its answers.
            axes = tuple(range(len(values.shape), len(sample_weight.shape)))
            sample_weight = ops.mean(sample_weight, axis=axes)
    if answers is None or len(answers.shape) > len(values.shape) + 1:
        answers = values  # a mask has one axis less than what it masks
    return _Mean()(values, answers, sample_weight)
