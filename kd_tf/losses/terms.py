"""The losses by name, and how one of them is asked for.

A custom loss is a function `(student, teacher, ...)` of tensors, giving one
value an example. If it has a parameter `labels`, it gets them.
"""

import dataclasses
import functools
import importlib
import inspect
import numbers
from collections.abc import Callable

import keras

from kd_tf.adapters import MaskedGeneration, Match, MatchWithVariance
from kd_tf.losses import feature, relation, response


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a loss needs.

    Attributes:
        function: The loss.
        knowledge: "response", "feature", "relation", or "custom".
        equal: What an adapter must make equal of two layers.
        adapter: The adapter that does it.
        needs_grid: Whether vectors, which have no grid, tell it nothing.
        num_layers: Number of consecutive layers it looks at together.
        is_whole: Whether it takes all answers at once and gives a scalar, as
            Keras's own distillation losses do.
        takes_logits: Whether probabilities would make it wrong in silence.
    """

    function: Callable
    knowledge: str
    equal: tuple[str, ...] = ()
    adapter: type = Match
    needs_grid: bool = False
    num_layers: int = 1
    is_whole: bool = False
    takes_logits: bool = False


_BOTH = ("width", "grid")
_LOGITS = functools.partial(Kind, knowledge="response", takes_logits=True)
LOSSES = {
    "soft_targets": _LOGITS(response.soft_target_loss),
    "logit_matching": _LOGITS(response.logit_matching_loss),
    "decoupled": _LOGITS(response.decoupled_loss),
    "dist": _LOGITS(response.dist_loss),
    "weighted_soft_labels": _LOGITS(response.weighted_soft_label_loss),
    "sigmoid_targets": _LOGITS(response.sigmoid_target_loss),
    "teacher_bounded": Kind(response.teacher_bounded_loss, "response"),
    "hint": Kind(feature.hint_loss, "feature", _BOTH),
    "attention_transfer": Kind(
        feature.attention_transfer_loss, "feature", ("grid",), needs_grid=True
    ),
    "fsp": Kind(
        feature.fsp_loss, "feature", ("width",), needs_grid=True, num_layers=2
    ),
    "channel_wise": Kind(
        feature.channel_wise_loss, "feature", _BOTH, needs_grid=True
    ),
    "neuron_selectivity": Kind(
        feature.neuron_selectivity_loss, "feature", ("grid",), needs_grid=True
    ),
    "variational_information": Kind(
        feature.variational_information_loss,
        "feature",
        _BOTH,
        MatchWithVariance,
    ),
    "masked_generation": Kind(
        feature.hint_loss, "feature", _BOTH, MaskedGeneration, needs_grid=True
    ),
    "inter_channel": Kind(
        feature.inter_channel_loss, "feature", ("width",), needs_grid=True
    ),
    "rkd_distance": Kind(relation.rkd_distance_loss, "relation"),
    "rkd_angle": Kind(relation.rkd_angle_loss, "relation"),
    "similarity_preserving": Kind(
        relation.similarity_preserving_loss, "relation"
    ),
    "correlation_congruence": Kind(
        relation.correlation_congruence_loss, "relation"
    ),
    "probabilistic_transfer": Kind(
        relation.probabilistic_transfer_loss, "relation"
    ),
    "contrastive": Kind(relation.contrastive_loss, "relation", _BOTH),
}

_TRANSFORMS = {"standardize": response.standardize_logits}


class LossTerm:
    """One loss of a distillation: which, between what, and how heavy.

    Args:
        loss: A name in `LOSSES`, a function `(student, teacher, ...)` giving
            one value an example, itself or as "package.module:function", or a
            `keras.distillation.DistillationLoss`.
        weight: Number, 0 or more, or a schedule: step -> number.
        pairs: None for the models' answers; "auto"; or a list of pairs
            (student layer, teacher layer), of which the mean is taken.
        output: Name or index of the one answer it concerns, where there are
            several; None for all of them.
        transform: "standardize", or a function of logits, applied to the
            answers of both models before the loss.
        name: Name in the history; by default that of the loss, such as
            `soft_targets_loss`.
        **arguments: Arguments of the loss, such as `temperature`: numbers or
            schedules.

    Raises:
        ValueError: if there is no such loss, it has no such argument, or an
            argument is out of its range.

    Example:
        LossTerm("soft_targets", temperature=4)
        LossTerm("hint", weight=0.5, pairs=[("conv2", "stage3/conv2")])
    """

    def __init__(
        self,
        loss,
        *,
        weight=1.0,
        pairs=None,
        output=None,
        transform=None,
        name=None,
        **arguments,
    ):
        self.kind = _kind_of(loss)
        self.weight = weight
        self.pairs = _layers_of(loss) if pairs is None else pairs
        self.output = output
        self.transform = _TRANSFORMS.get(transform, transform)
        self.name = name or _name_of(loss)
        self.arguments = arguments
        parameters = list(inspect.signature(self.kind.function).parameters)
        self.takes_labels = "labels" in parameters
        self._check(loss, parameters)

    @property
    def temperature(self):
        """The temperature given, or that of the loss; None without one."""
        parameters = inspect.signature(self.kind.function).parameters
        if "temperature" not in parameters:
            return None
        default = parameters["temperature"].default
        return self.arguments.get("temperature", default)

    def _check(self, loss, parameters):
        allowed = [p for p in parameters[2:] if p not in _NOT_SET_BY_USERS]
        for name, value in self.arguments.items():
            if name not in allowed:
                raise ValueError(
                    f"Loss '{self.name}' has no argument '{name}'. Allowed: "
                    f"{', '.join(allowed) or 'none'}. Received: {name}={value}"
                )
            check_number(name, value)
        check_number("weight", self.weight)
        if not (self.transform is None or callable(self.transform)):
            raise ValueError(
                "`transform` must be 'standardize' or a function of logits. "
                f"Received: transform={self.transform!r}"
            )
        if self.pairs is None and self.kind.knowledge == "feature":
            raise ValueError(
                f"Loss '{self.name}' compares layers. Allowed: pairs='auto', "
                "or pairs=[(student layer, teacher layer), ...]. Received: "
                "pairs=None"
            )
        if self.pairs is not None and self.kind.knowledge == "response":
            raise ValueError(
                f"Loss '{self.name}' compares answers. Allowed: pairs=None. "
                f"Received: pairs={self.pairs!r}"
            )
        if self.pairs not in (None, "auto"):
            self._check_pairs()

    def _check_pairs(self):
        if not _is_list(self.pairs) or not all(
            _is_list(pair)
            and len(pair) == 2
            and all(isinstance(p, str) for p in pair)
            for pair in self.pairs
        ):
            raise ValueError(
                "`pairs` must be None, 'auto', or a list of (student layer, "
                f"teacher layer). Received: pairs={self.pairs!r}"
            )
        if len(self.pairs) < self.kind.num_layers:
            raise ValueError(
                f"Loss '{self.name}' looks at {self.kind.num_layers} layers "
                f"together. Allowed: at least {self.kind.num_layers} pairs. "
                f"Received: pairs={self.pairs!r}"
            )


def _is_list(value):
    return isinstance(value, (list, tuple)) and len(value) > 0


_NOT_SET_BY_USERS = ("labels", "raw_variance")


def check_number(name, value):
    """Refuses a constant out of its range; a schedule is taken as it is."""
    if callable(value) or not isinstance(value, numbers.Real):
        return
    if name == "temperature":
        if not 0 < value < float("inf"):
            raise ValueError(
                "`temperature` must be greater than 0, and finite. "
                f"Received: temperature={value}"
            )
    elif not 0 <= value < float("inf"):
        raise ValueError(
            f"`{name}` must be 0 or more, and finite. Received: {name}={value}"
        )


def _kind_of(loss):
    if isinstance(loss, str) and ":" in loss:
        loss = _imported(loss)
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(
                f"There is no loss '{loss}'. Allowed: {', '.join(LOSSES)}, "
                "'package.module:function', or a function (student, "
                f"teacher). Received: '{loss}'"
            )
        return LOSSES[loss]
    if isinstance(loss, keras.distillation.DistillationLoss):
        return Kind(_as_function(loss), "custom", _BOTH, is_whole=True)
    if callable(loss):
        return Kind(loss, "custom", _BOTH)
    raise ValueError(
        "A loss must be a name, a function (student, teacher), or a "
        f"keras.distillation.DistillationLoss. Received: {loss!r}"
    )


def _imported(name):
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"Loss '{name}' cannot be imported. Allowed: "
            f"'package.module:function'. Received: {error}"
        ) from error


def _as_function(keras_loss):
    def function(student, teacher):
        keras_loss.validate_outputs(teacher, student)
        return keras_loss.compute_loss(teacher, student)

    return function


def _layers_of(loss):
    """The layers that a loss of Keras's names itself, or None."""
    if not isinstance(loss, keras.distillation.FeatureDistillation):
        return None
    names = loss.student_layer_name, loss.teacher_layer_name
    if names == (None, None):
        return None
    if None in names:
        raise ValueError(
            "`FeatureDistillation` must name a layer of both models, or of "
            f"neither. Received: student_layer_name={names[0]!r}, "
            f"teacher_layer_name={names[1]!r}"
        )
    return [names]


def _name_of(loss):
    if isinstance(loss, str) and ":" in loss:
        return loss.rpartition(":")[-1]
    if isinstance(loss, str):
        return f"{loss}_loss"
    name = getattr(loss, "__name__", type(loss).__name__)
    return name if name.isidentifier() else "custom"
