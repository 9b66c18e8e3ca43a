"""Students and teachers by name; all end in logits.

A model is a function `(input_shape, num_classes, **arguments)` returning a
`keras.Model` whose layers carry names of their own: automatic names count up
within a process, and would differ between a run and its resumption.
"""

from kd_tf.entry_points import load_entry_point

MODEL_NAMES = (
    "cnn",
    "ds_cnn",
    "gru",
    "keras_application",
    "mlp",
    "mobilenet",
    "resnet",
    "transformer",
    "unet",
    "vgg",
)


def build_model(name, input_shape, num_classes, **arguments):
    """Builds a model by name.

    Args:
        name: One of `MODEL_NAMES`, or `"package.module:function"` for a
            model of your own, called in the same way.
        input_shape: Tuple of ints, one example without its batch axis.
        num_classes: Number of logits.
        **arguments: Arguments of the named model.

    Returns:
        `keras.Model` from float32 (B, *input_shape) to logits (B, classes).

    Raises:
        ValueError: if there is no such model, or it cannot be built from
            these arguments.
    """
    if name not in MODEL_NAMES and ":" not in name:
        raise ValueError(
            f"There is no model '{name}'. Allowed: {', '.join(MODEL_NAMES)}, "
            f"or 'package.module:function'. Received: '{name}'"
        )
    place = f"kd_tf.models.{name}:{name}" if name in MODEL_NAMES else name
    function = load_entry_point(place, "model")
    try:
        return function(tuple(input_shape), num_classes, **arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Model '{name}' cannot be built for input shape "
            f"{tuple(input_shape)} with arguments {arguments}. "
            f"Received: {error}"
        ) from error
