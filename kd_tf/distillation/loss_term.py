"""How a loss is asked for: by name or as a function, weighed, and between what.

A custom loss is a function `(student, teacher, ...)` of tensors, giving one
value an example. If it has a parameter `labels`, it gets them.
"""

import copy
import inspect
import numbers

import keras
import tensorflow as tf
from keras import ops

from kd_tf.distillation.loss_table import BOTH, LOSSES, LossSpec
from kd_tf.entry_points import load_entry_point
from kd_tf.losses.response import standardize_logits

_TRANSFORMS = {"standardize": standardize_logits}


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

    Weights of examples reach all losses but those of Keras, which reduce
    themselves; masks of sequences reach losses on answers.

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
        self.spec = _kind_of(loss)
        self.weight = weight
        self.pairs = _layers_of(loss) if pairs is None else pairs
        self.output = output
        self.transform = _TRANSFORMS.get(transform, transform)
        self.name = name or _name_of(loss)
        self.arguments = arguments
        parameters = list(inspect.signature(self.spec.function).parameters)
        self.takes_labels = "labels" in parameters
        self._check(loss, parameters)

    @property
    def temperature(self):
        """The temperature given, or that of the loss; None without one."""
        parameters = inspect.signature(self.spec.function).parameters
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
            if self.spec.knowledge != "custom":
                check_number(name, value)
        check_number("weight", self.weight)
        if not (self.transform is None or callable(self.transform)):
            raise ValueError(
                "`transform` must be 'standardize' or a function of logits. "
                f"Received: transform={self.transform!r}"
            )
        if self.transform and (self.pairs is not None or self.spec.is_whole):
            raise ValueError(
                "`transform` is for logits. Allowed: transform=None between "
                f"layers. Received: transform={self.transform!r}"
            )
        if self.pairs is None and self.spec.knowledge == "feature":
            raise ValueError(
                f"Loss '{self.name}' compares layers. Allowed: pairs='auto', "
                "or pairs=[(student layer, teacher layer), ...]. Received: "
                "pairs=None"
            )
        if self.pairs is not None and self.spec.knowledge == "response":
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
        if len(self.pairs) < self.spec.num_layers:
            raise ValueError(
                f"Loss '{self.name}' looks at {self.spec.num_layers} layers "
                f"together. Allowed: at least {self.spec.num_layers} pairs. "
                f"Received: pairs={self.pairs!r}"
            )


def list_terms(losses):
    """What a `Distiller` was given, as `LossTerm`s with names that differ."""
    if isinstance(losses, dict):
        terms = [
            _for_output(term, output)
            for output, wanted in losses.items()
            for term in _list(wanted)
        ]
    else:
        terms = [_for_output(term, None) for term in _list(losses)]
    if not terms:
        raise ValueError(
            "There is nothing to learn from the teacher. Allowed: at least "
            f"one loss. Received: losses={losses!r}"
        )
    names = []
    for term in terms:
        name, count = term.name, 2
        while term.name in (*names, *_TAKEN):
            term.name, count = f"{name}_{count}", count + 1
        names.append(term.name)
    return terms


_TAKEN = ("loss", "student_loss", "regularization_loss")


def _list(losses):
    if losses is None:
        return []
    return list(losses) if isinstance(losses, (list, tuple)) else [losses]


def _for_output(loss, output):
    """A copy, for the caller's own may serve another Distiller."""
    term = copy.copy(loss) if isinstance(loss, LossTerm) else LossTerm(loss)
    if output is not None:
        term.output, term.name = output, f"{term.name}_{output}"
    return term


def _is_list(value):
    return isinstance(value, (list, tuple)) and len(value) > 0


_NOT_SET_BY_USERS = ("labels", "raw_variance")


def check_number(name, value):
    """Refuses a constant out of its range; a schedule is taken as it is."""
    if callable(value):
        return
    if name == "weight" and not isinstance(value, numbers.Real):
        raise ValueError(
            "`weight` must be a number or a schedule. "
            f"Received: weight={value!r}"
        )
    if not isinstance(value, numbers.Real):
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
        loss = load_entry_point(loss, "loss")
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(
                f"There is no loss '{loss}'. Allowed: {', '.join(LOSSES)}, "
                "'package.module:function', or a function (student, "
                f"teacher). Received: '{loss}'"
            )
        return LOSSES[loss]
    if isinstance(loss, keras.distillation.DistillationLoss):
        return LossSpec(
            _as_function(loss),
            "custom",
            BOTH,
            is_whole=True,
            # It softens by softmax; the others take what they are given.
            takes_logits=isinstance(
                loss, keras.distillation.LogitsDistillation
            ),
        )
    if callable(loss):
        return LossSpec(loss, "custom", BOTH)
    raise ValueError(
        "A loss must be a name, a function (student, teacher), or a "
        f"keras.distillation.DistillationLoss. Received: {loss!r}"
    )


def _as_function(keras_loss):
    inner = keras.tree.flatten(getattr(keras_loss, "loss", None))
    divides = any(isinstance(loss, keras.losses.Loss) for loss in inner)

    def function(student, teacher):
        keras_loss.validate_outputs(teacher, student)
        loss = ops.cast(keras_loss.compute_loss(teacher, student), "float32")
        # Of several devices each gives its share of the mean; Keras's loss
        # objects see to that themselves.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return loss if divides else loss / replicas

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
