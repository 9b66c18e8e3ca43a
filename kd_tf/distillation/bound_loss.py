"""A loss between two given models: what it looks at, and its adapters.

Shapes: B examples.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from absl import logging

from kd_tf.distillation.layer_pairs import Pair, propose_pairs
from kd_tf.distillation.loss_term import LossTerm
from kd_tf.distillation.own_adapters import own_adapters
from kd_tf.distillation.reduction import check_values
from kd_tf.distillation.taps import Forward, Shape, activation_shapes
from kd_tf.distillation.teachers.frozen import forward_of
from kd_tf.distillation.weighted_mean import weighted_mean
from kd_tf.models.graph import is_symbolic, outputs_by_name
from kd_tf.schedules import value_at

Tensor = Any


@dataclasses.dataclass(frozen=True)
class _Context:
    """What a loss gets beside the two tensors.

    Attributes:
        labels: Labels, nested as the outputs are, or None.
        sample_weight: Weights, nested likewise or one for each example.
        arguments: {name: value at this step}.
        training: Whether the student trains.
    """

    labels: Any
    sample_weight: Any
    arguments: dict[str, Any]
    training: bool


class BoundLoss(keras.layers.Layer):
    """Applies a loss to the forward passes of a student and its teacher.

    A layer, so that what it holds, adapters and a loss that is a layer itself,
    is trained and saved with the Distiller.

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
            for i, model in enumerate((student, teacher))
            if self.pairs
        ]
        self.adapters = own_adapters(
            loss_term.adapter,
            [(shapes[0][s], shapes[1][t]) for s, t in self.pairs],
            default=self._adapter,
        )
        self.loss_layer = None
        if isinstance(loss_term.function, keras.layers.Layer):
            self.loss_layer = loss_term.function
            self._build(self.loss_layer, (student, teacher), shapes)
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
            teacher: `Forward` of the teacher, or of several.
            y: Labels, nested as the outputs are, or None.
            sample_weight: Weights, one for each example or nested as the
                outputs are, or None.
            step: Scalar, for schedules.

        Returns:
            Float32 scalar, a mean over the batch of this replica.
        """
        if self.loss_term.teacher is not None:
            teacher = forward_of(teacher, self.loss_term.teacher)
        arguments = {
            name: value_at(value, step)
            for name, value in self.loss_term.arguments.items()
        }
        context = _Context(y, sample_weight, arguments, student.training)
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
            weighted_mean(
                self._call(tensors, context, masked_by=student.activations[s]),
                weights,
            )
            for tensors, (s, _) in zip(adapted, self.pairs, strict=False)
        ]
        return sum(losses) / len(losses)

    def _of_all_outputs(
        self, student: Any, teacher: Any, context: _Context
    ) -> Tensor:
        name = self.loss_term.output
        if name is not None:
            student = outputs_by_name(student)[name]
            teacher = outputs_by_name(teacher)[self.loss_term.key_of(name)]
        return weighted_mean(self._call((student, teacher), context), None)

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
            tensors = student[name], teacher[self.loss_term.key_of(name)]
            if self.loss_term.spec.knowledge == "response":
                tensors = tuple(map(_with_last_axis, tensors))
            if transform:
                tensors = tuple(transform(logits) for logits in tensors)
            values = self._call(
                tensors,
                dataclasses.replace(context, labels=_select(labels, name)),
                masked_by=student[name],
            )
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
        self,
        tensors: tuple[Any, ...],
        context: _Context,
        *,
        masked_by: Tensor | None = None,
    ) -> Tensor:
        loss_term = self.loss_term
        if loss_term.takes_labels and context.labels is None:
            raise ValueError(
                f"Loss '{self.name}' needs labels. Give data with labels "
                "for every output it concerns. Received: none"
            )
        supplied = {
            "labels": context.labels,
            "mask": _mask_of(masked_by),
            "training": context.training,
        }
        taken = {n: v for n, v in supplied.items() if loss_term.takes(n)}
        values = loss_term.function(*tensors, **context.arguments, **taken)
        if not loss_term.spec.takes_all_outputs:
            check_values(self.name, values, tensors, context.labels)
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

    def _build(
        self,
        loss_layer: keras.layers.Layer,
        models: Sequence[keras.Model],
        shapes: Sequence[Mapping[str, Shape]],
    ) -> None:
        """Creates its weights, so that they are counted before training."""
        if self.loss_term.takes_labels:
            return  # whose shape is known with the first batch
        if self.pairs:
            pair = [shapes[i][path] for i, path in enumerate(self.pairs[0])]
            loss_layer(*self.adapters[0](*map(keras.KerasTensor, pair)))
        elif all(map(is_symbolic, models)):
            first = [model.outputs[0].shape for model in models]
            loss_layer(*map(keras.KerasTensor, first))


def _with_last_axis(outputs: Tensor) -> Tensor:
    """One quantity an example may come without an axis of its own."""
    return outputs[:, None] if len(outputs.shape) == 1 else outputs


def _mask_of(tensor: Tensor | None) -> Tensor | None:
    """The Keras mask of a tensor: its positions that are no padding."""
    mask = getattr(tensor, "_keras_mask", None)
    if tensor is None or mask is None:
        return None
    return mask if len(mask.shape) < len(tensor.shape) else None


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
