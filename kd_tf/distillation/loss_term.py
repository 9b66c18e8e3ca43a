"""One loss of a distillation: by name or as a function, weighted.

A custom loss is a function `(student, teacher, ...)` of tensors, or a Keras
layer called with them, giving one value an example. Where it has parameters of
these names, it gets `labels`, the `mask` of the student's tensor (or None), and
`training`, whether the student trains.
"""

import copy
import inspect
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import keras

from kd_tf.distillation.keras_losses import (
    keras_layer_pairs,
    keras_loss_function,
    keras_loss_spec,
)
from kd_tf.distillation.loss_arguments import (
    check_arguments,
    read_parameters,
)
from kd_tf.distillation.loss_table import LOSSES, LossSpec, custom_spec
from kd_tf.distillation.loss_weights import (
    LABELS,
    REGULARIZATION,
    check_weight,
)
from kd_tf.distillation.own_adapters import check_adapter
from kd_tf.distillation.probability_losses import refuse_probability_loss
from kd_tf.losses.response import standardize_logits
from kd_tf.schedules import Schedule

_RESERVED = ("loss", LABELS, REGULARIZATION)


class LossTerm:
    """One loss of a distillation: which, between what, and its weight.

    Weights of examples reach all losses but those of Keras, which reduce
    themselves; masks of sequences reach losses on outputs.

    Args:
        loss: A name in `LOSSES`, a function `(student, teacher, ...)` giving
            one value an example, itself or as "package.module:function", a
            `keras.layers.Layer` with such a `call`, whose weights are trained
            along and dropped at the end, or a
            `keras.distillation.DistillationLoss`.
        weight: Number, 0 or more, or a schedule: step -> number.
        pairs: None for the models' outputs; "auto"; or a list of pairs
            (student layer, teacher layer), of which the mean is taken.
        output: Name or index of the one output it concerns, where there are
            several; None for all of them.
        teacher: Index of the one it learns from, where there are several.
        teacher_output: Name or index of the teacher's output that `output`
            learns from; None for the one of the same name.
        adapter: Of a loss between layers, what makes the two comparable: None
            for what the loss needs; "none" for activations as they are; a
            Keras layer, or a list of one for each pair, called with the
            student's activation, or with both; or a function (student shape,
            teacher shape) that makes one.
        transform: "standardize", or a function of logits, applied to the
            outputs of both models before the loss.
        name: Name in the history; by default that of the loss, such as
            `soft_targets_loss`.
        **arguments: Arguments of the loss, such as `temperature`: numbers or
            schedules.

    Attributes:
        spec: The loss's `LossSpec`.
        function: The loss itself.
        loss_name: Its name in `LOSSES`, or that of the function.
        takes_labels: Whether it gets labels.

    Raises:
        ValueError: if there is no such loss, it is one of Keras on
            probabilities, or an argument does not exist, is missing, or is
            out of its range.

    Example:
        LossTerm("soft_targets", temperature=4)
        LossTerm("hint", weight=0.5, pairs=[("conv2", "stage3/conv2")])
    """

    def __init__(
        self,
        loss: Any,
        *,
        weight: float | Schedule = 1.0,
        pairs: str | Sequence[Sequence[str]] | None = None,
        output: str | int | None = None,
        teacher: int | None = None,
        teacher_output: str | int | None = None,
        adapter: Any = None,
        transform: str | Callable[[Any], Any] | None = None,
        name: str | None = None,
        **arguments: Any,
    ) -> None:
        self.spec, self.function = _resolve(loss)
        refuse_probability_loss(self.function)
        self.weight = weight
        self.pairs = keras_layer_pairs(loss) if pairs is None else pairs
        self.output: Hashable = output
        self.teacher = teacher
        self.teacher_output: Hashable = teacher_output
        self.adapter = adapter
        self.transform: Any = transform
        if transform == "standardize":
            self.transform = standardize_logits
        self.loss_name = loss if isinstance(loss, str) else _name_of(loss)
        self.name = name or _history_name(loss)
        self.arguments = arguments
        self._parameters = read_parameters(self.function, loss=self.name)
        self.takes_labels = "labels" in self._parameters
        check_arguments(self.name, arguments, self._parameters)
        check_weight(weight)
        self._check_transform()
        self._check_pairs()
        check_adapter(adapter)
        if adapter is not None and self.pairs is None:
            raise ValueError(
                "`adapter` belongs to losses between layers. Set `pairs`, or "
                f"leave it out. Received: adapter={adapter!r}, pairs=None"
            )

    def key_of(self, output: Hashable) -> Hashable:
        """The teacher's output that an output of the student learns from."""
        return output if self.teacher_output is None else self.teacher_output

    def takes(self, parameter: str) -> bool:
        """Whether the loss has a parameter of this name."""
        return parameter in self._parameters

    @property
    def temperature(self) -> Any:
        """The temperature given, or that of the loss; None without one."""
        if "temperature" not in self._parameters:
            return None
        default = self._parameters["temperature"].default
        if default is inspect.Parameter.empty:
            default = None
        return self.arguments.get("temperature", default)

    def _check_transform(self) -> None:
        if not (self.transform is None or callable(self.transform)):
            raise ValueError(
                "`transform` must be 'standardize' or a function of logits. "
                f"Received: transform={self.transform!r}"
            )
        is_on_layers = self.pairs is not None
        if self.transform and (is_on_layers or self.spec.takes_all_outputs):
            raise ValueError(
                "`transform` applies to logits alone. Leave it out of losses "
                "between layers and of Keras's own losses. Received: "
                f"transform={self.transform!r}"
            )

    def _check_pairs(self) -> None:
        if self.pairs is None and self.spec.requires_pairs:
            raise ValueError(
                f"Loss '{self.name}' compares layers. Set pairs='auto', or "
                "pairs=[(student layer, teacher layer), ...]. Received: "
                "pairs=None"
            )
        if self.pairs is not None and not self.spec.takes_pairs:
            raise ValueError(
                f"Loss '{self.name}' compares outputs. Leave `pairs` out. "
                f"Received: pairs={self.pairs!r}"
            )
        if self.pairs is None or self.pairs == "auto":
            return
        if not _is_list(self.pairs) or not all(map(_is_pair, self.pairs)):
            raise ValueError(
                "`pairs` must be None, 'auto', or a list of (student layer, "
                f"teacher layer). Received: pairs={self.pairs!r}"
            )
        if len(self.pairs) < self.spec.num_layers:
            raise ValueError(
                f"Loss '{self.name}' looks at {self.spec.num_layers} layers "
                f"together and needs at least {self.spec.num_layers} pairs. "
                f"Received: pairs={self.pairs!r}"
            )


def list_loss_terms(losses: Any) -> list[LossTerm]:
    """Lists losses as `LossTerm`s, copied, with names that differ.

    Args:
        losses: What a `Distiller` was given.

    Raises:
        ValueError: if there is none, or one is invalid.
    """
    given = losses.items() if isinstance(losses, dict) else [(None, losses)]
    loss_terms = [
        _for_output(loss, output)
        for output, some in given
        for loss in _as_list(some)
    ]
    if not loss_terms:
        raise ValueError(
            "There is nothing to learn from the teacher. Give at least one "
            f"loss. Received: losses={losses!r}"
        )
    names: list[str] = []
    for loss_term in loss_terms:
        name, count = loss_term.name, 2
        while loss_term.name in (*names, *_RESERVED):
            loss_term.name, count = f"{name}_{count}", count + 1
        names.append(loss_term.name)
    return loss_terms


def _as_list(losses: Any) -> list[Any]:
    if losses is None:
        return []
    return list(losses) if isinstance(losses, (list, tuple)) else [losses]


def _for_output(loss: Any, output: Hashable) -> LossTerm:
    # A copy, for the caller's own may serve another Distiller.
    is_made = isinstance(loss, LossTerm)
    loss_term = copy.copy(loss) if is_made else LossTerm(loss)
    if output is not None:
        loss_term.output = output
        loss_term.name = f"{loss_term.name}_{output}"
    return loss_term


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0


def _is_pair(value: Any) -> bool:
    is_pair = _is_list(value) and len(value) == 2
    return is_pair and all(isinstance(name, str) for name in value)


def _resolve(loss: Any) -> tuple[LossSpec, Callable[..., Any]]:
    """The spec of a loss, and the function."""
    if isinstance(loss, str):
        spec = LOSSES.find(loss)
        return spec, spec.load()
    if isinstance(loss, keras.distillation.DistillationLoss):
        return keras_loss_spec(loss), keras_loss_function(loss)
    if callable(loss):
        module = getattr(loss, "__module__", type(loss).__module__)
        return custom_spec(f"{module}:{_name_of(loss)}"), loss
    raise ValueError(
        "A loss must be a name, a function (student, teacher), a Keras layer "
        "called with both, or a keras.distillation.DistillationLoss. "
        f"Received: {loss!r}"
    )


def _name_of(loss: Any) -> str:
    name = getattr(loss, "__name__", type(loss).__name__)
    return name if name.isidentifier() else "custom"


def _history_name(loss: Any) -> str:
    if not isinstance(loss, str):
        return _name_of(loss)
    is_function = ":" in loss
    return loss.rpartition(":")[-1] if is_function else f"{loss}_loss"
