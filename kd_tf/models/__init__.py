"""Architectures for students and teachers, by name; all output logits.

A model is a function `(input_shape, num_outputs, **arguments)` that returns a
`keras.Model` whose layers have names of their own: automatic names count up
within a process, and would differ between a run and its resumption.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from kd_tf.entry_points import load_entry_point
from kd_tf.specs import Argument, Spec, Table, read_arguments

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class ModelSpec(Spec):
    """One architecture. To add one: a function in a file, and a row."""

    supplied: ClassVar[tuple[str, ...]] = ("input_shape", "num_outputs")

    def load(self) -> Callable[..., Any]:
        """Imports the function."""
        return load_entry_point(self.function, "model")

    @property
    def arguments(self) -> dict[str, Argument]:
        """{name: argument} of all that a user may set, in order.

        The two that are supplied are passed by position, so that a function
        of the user's own may call them what it likes.
        """
        arguments = list(read_arguments(self.function).items())
        return dict(arguments[len(self.supplied) :])


MODELS: Table[ModelSpec] = Table(
    "model",
    {
        "cnn": ModelSpec("kd_tf.models.cnn:cnn"),
        "ds_cnn": ModelSpec("kd_tf.models.ds_cnn:ds_cnn"),
        "gru": ModelSpec("kd_tf.models.gru:gru"),
        "keras_application": ModelSpec(
            "kd_tf.models.keras_application:keras_application"
        ),
        "mlp": ModelSpec("kd_tf.models.mlp:mlp"),
        "mobilenet": ModelSpec("kd_tf.models.mobilenet:mobilenet"),
        "resnet": ModelSpec("kd_tf.models.resnet:resnet"),
        "transformer": ModelSpec("kd_tf.models.transformer:transformer"),
        "unet": ModelSpec("kd_tf.models.unet:unet"),
        "vgg": ModelSpec("kd_tf.models.vgg:vgg"),
    },
    own=ModelSpec,
)


def build_model(
    name: str, input_shape: Sequence[int], num_outputs: int, **arguments: Any
) -> "keras.Model":
    """Builds a model by name.

    Args:
        name: A key of `MODELS`, or `"package.module:function"` for a model
            of your own, called as `function(input_shape, num_outputs,
            **arguments)`.
        input_shape: Shape of one example, without the batch axis.
        num_outputs: Number of logits C, or of values of a regression.
        **arguments: Arguments of the named model; all have defaults.

    Returns:
        `keras.Model` from float32 (B, *input_shape) to logits (B, C).

    Raises:
        ValueError: if there is no such model, or it cannot be built from
            these arguments.
    """
    function, shape = MODELS.find(name).load(), tuple(input_shape)
    try:
        return function(shape, num_outputs, **arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Model '{name}' cannot be built for input shape {shape} with "
            f"arguments {arguments}: {error}"
        ) from error
