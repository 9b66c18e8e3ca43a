"""A loss between two given models: what it looks at, and its adapters.

Shapes: B examples.
"""

import dataclasses
import itertools
from typing import Any

import keras
from absl import logging

from kd_tf.distillation.layer_pairs import Pair, propose_pairs
from kd_tf.distillation.loss_term import LossTerm
from kd_tf.distillation.taps import Forward, Shape, activation_shapes
from kd_tf.distillation.weighted_mean import weighted_mean
from kd_tf.models.graph import outputs_by_name
from kd_tf.schedules import value_at

Tensor = Any


@dataclasses.dataclass(frozen=True)
class _Context:
    """What a loss gets beside the two tensors.

    Attributes:
        labels: Labels, nested as the outputs are, or None.
        sample_weight: Weights, nested likewise or one for each example.
        arguments: {name: value at this step}.
    """

    labels: Any
    sample_weight: Any
    arguments: dict[str, Any]


class BoundLoss(keras.layers.Layer):
    """Applies a loss to the forward passes of a student and its teacher.

    A layer, so that the adapters it holds are trained and saved with the
    Distiller.

    Args:
        loss_term: `LossTerm`.
        student: `keras.Model`.
        teacher: `keras.Model`.

    Raises:
        ValueError: if a layer does not exist, or no adapter can make a pair
            comparable.
    """

    def __init__(
        self,
        loss_term: LossTerm,
        student: keras.Model,
        *,
        teacher: keras.Model,
    ) -> None:
        super().__init__(name=loss_term.name, dtype="float32")
        self.loss_term = loss_term
        self.output_names = getattr(student, "output_names", [])
        self.pairs = _layer_pairs(loss_term, student, teacher)
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
                *(loss_term.name, s, shapes[0][s], t, shapes[1][t]),
                adapter.count_params(),
            )

    def loss(
        self,
        student: Forward,
        teacher: Forward,
        *,
        y: Any,
        sample_weight: Any,
        step: Any,
    ) -> Tensor:
        """Computes the weighted mean of the loss over a batch.

        Args:
            student: `Forward` of the student.
            teacher: `Forward` of the teacher.
            y: Labels, nested as the outputs are, or None.
            sample_weight: Weights, one for each example or nested as the
                outputs are, or None.
            step: Scalar, for schedules.

        Returns:
            Float32 scalar.
        """
        arguments = {
            name: value_at(value, step)
            for name, value in self.loss_term.arguments.items()
        }
        context = _Context(y, sample_weight, arguments)
        if self.pairs:
            return self._between_layers(student, teacher, context)
        if self.loss_term.spec.takes_all_outputs:
            return self._of_all_outputs(
                student.outputs, teacher.outputs, context
            )
        return self._between_outputs(student.outputs, teacher.outputs, context)

    def _between_layers(
        self, student: Forward, teacher: Forward, context: _Context
    ) -> Tensor:
        adapted = [
            adapter(
                student.activations[s],
                teacher.activations[t],
                training=student.training,
            )
            for (s, t), adapter in zip(self.pairs, self.adapters, strict=True)
        ]
        if self.loss_term.spec.num_layers == 2:
            adapted = [
                tuple(zip(early, late, strict=True))
                for early, late in itertools.pairwise(adapted)
            ]
        # Weights of single outputs do not apply to an inner layer.
        is_nested = isinstance(context.sample_weight, (dict, list, tuple))
        weights = None if is_nested else context.sample_weight
        losses = [
            weighted_mean(self._call(tensors, context.labels, context), weights)
            for tensors in adapted
        ]
        return sum(losses) / len(losses)

    def _of_all_outputs(
        self, student: Any, teacher: Any, context: _Context
    ) -> Tensor:
        name = self.loss_term.output
        if name is not None:
            student = outputs_by_name(student)[name]
            teacher = outputs_by_name(teacher)[name]
        return weighted_mean(
            self._call((student, teacher), None, context), None
        )

    def _between_outputs(
        self, student: Any, teacher: Any, context: _Context
    ) -> Tensor:
        labels, weights = context.labels, context.sample_weight
        if isinstance(student, (list, tuple)):
            labels, weights = self._in_order(labels), self._in_order(weights)
        student, teacher = outputs_by_name(student), outputs_by_name(teacher)
        transform, output = self.loss_term.transform, self.loss_term.output
        total = 0.0
        for name in [*student] if output is None else [output]:
            tensors = student[name], teacher[name]
            if transform:
                tensors = tuple(transform(logits) for logits in tensors)
            values = self._call(tensors, _select(labels, name), context)
            # The student's own output carries the mask, if there is one.
            total += weighted_mean(
                values, _select(weights, name), masked_by=student[name]
            )
        return total

    def _in_order(self, nested: Any) -> Any:
        """As a list; Keras takes a dict by the names of layers, too."""
        if isinstance(nested, dict):
            return [nested.get(name) for name in self.output_names]
        return nested

    def _call(
        self, tensors: tuple[Tensor, ...], labels: Any, context: _Context
    ) -> Tensor:
        arguments = context.arguments
        if self.loss_term.takes_labels:
            if labels is None:
                raise ValueError(
                    f"Loss '{self.name}' needs labels. Give data with labels "
                    "for every output it concerns. Received: none"
                )
            arguments = {**arguments, "labels": labels}
        values = self.loss_term.function(*tensors, **arguments)
        is_scalar = len(values.shape) == 0
        if is_scalar and not self.loss_term.spec.takes_all_outputs:
            raise ValueError(
                f"Loss '{self.name}' must give one value an example, a tensor "
                "(B,) or (B, ...). Received: a scalar"
            )
        return values

    def _adapter(
        self, student_shape: Shape, teacher_shape: Shape
    ) -> keras.layers.Layer:
        spec = self.loss_term.spec
        if spec.needs_grid and min(len(student_shape), len(teacher_shape)) < 3:
            raise ValueError(
                f"Loss '{self.name}' compares grids. Pair layers with an axis "
                "between examples and channels. Received: student "
                f"{student_shape}, teacher {teacher_shape}"
            )
        make = spec.load_adapter()
        return make(student_shape, teacher_shape, equal=spec.equal)


def _select(nested: Any, name: Any) -> Any:
    """The part for one output, out of labels or weights nested in any way."""
    if not isinstance(nested, (dict, list, tuple)):
        return nested
    by_name = outputs_by_name(nested)
    if name is None and len(by_name) == 1:
        [name] = by_name
    return by_name.get(name)


def _layer_pairs(
    loss_term: LossTerm, student: keras.Model, teacher: keras.Model
) -> list[Pair]:
    spec = loss_term.spec
    if loss_term.pairs != "auto":
        return [(s, t) for s, t in loss_term.pairs or ()]
    pairs = propose_pairs(student, teacher, with_grid=spec.needs_grid)
    if spec.knowledge == "relation":
        return pairs[-1:]  # the deepest: relations are between whole examples
    if len(pairs) < spec.num_layers:
        raise ValueError(
            f"Loss '{loss_term.name}' looks at {spec.num_layers} layers "
            "together. Name the pairs, or use models with as many stages. "
            f"Received: {pairs}"
        )
    return pairs
