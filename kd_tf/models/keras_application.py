"""A published architecture from `keras.applications`, with a new head."""

import collections
import difflib
import re
from collections.abc import Callable, Sequence

import keras
from keras import layers

from kd_tf.ranges import PathOrName, Share


def keras_application(
    input_shape: Sequence[int],
    num_outputs: int,
    *,
    backbone: str = "MobileNetV2",
    weights: PathOrName | None = "imagenet",
    dropout: Share = 0.2,
) -> keras.Model:
    """Builds a backbone, average pooling over its pixels, and a dense layer.

    Images of one channel are repeated to three. How pixels must be
    normalized, `(value - mean) / std`, depends on the backbone, and matters
    with `weights` that were trained so: mean 0 and std 1 for MobileNetV3,
    ConvNeXt and both EfficientNets, which scale inside; for DenseNet [123.68,
    116.28, 103.53] and [58.40, 57.12, 57.38]; for all others 127.5 and 127.5.
    VGG and the first ResNet were trained on BGR, which RGB images do not
    become by that: take ResNetV2.

    At its defaults, for 96x96x3 and 10 classes: 2,270,794 parameters, 55.0
    million multiply-accumulates, 8929 kB, in int8 2734 kB.

    Args:
        input_shape: (height, width, 1 or 3), of at least 32x32 pixels, some
            backbones more.
        num_outputs: Number of logits.
        backbone: A function of `keras.applications`, such as `MobileNetV2`.
        weights: `imagenet`, which is downloaded, a file of weights without
            head, or None for random ones.
        dropout: Fraction of features dropped before the logits while
            training, in [0, 1).

    Returns:
        `keras.Model` whose output is logits (B, num_outputs); the backbone is
        its layer `backbone`.

    Raises:
        ValueError: if there is no such backbone, examples are not images
            that it takes, or its weights cannot be loaded.

    Reference:
        https://keras.io/api/applications
    """
    build = _find(backbone)
    if len(input_shape) != 3 or input_shape[2] not in (1, 3):
        raise ValueError(
            "a backbone needs images (height, width, 1 or 3). "
            f"Received: {input_shape}"
        )
    inputs = keras.Input(input_shape, name="image")
    x = inputs
    if input_shape[2] == 1:
        x = layers.Concatenate(name="three_channels")([x, x, x])
    body = _with_weights(build, weights, (*input_shape[:2], 3))
    x = _renamed(body)(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_outputs, name="logits")(x)
    return keras.Model(inputs, logits, name="keras_application")


def _find(backbone: str) -> Callable[..., keras.Model]:
    # In `keras.applications` functions have capital letters, modules none.
    names = [n for n in dir(keras.applications) if n[0].isupper()]
    if backbone not in names:
        near = difflib.get_close_matches(backbone, names, n=3, cutoff=0.5)
        raise ValueError(
            f"there is no backbone '{backbone}'. Allowed: "
            + (", ".join(near) + ", ..." if near else ", ".join(names))
            + f". Received: backbone='{backbone}'"
        )
    return getattr(keras.applications, backbone)


def _with_weights(
    build: Callable[..., keras.Model],
    weights: str | None,
    input_shape: tuple[int, ...],
) -> keras.Model:
    try:
        return build(
            include_top=False, weights=weights, input_shape=input_shape
        )
    except Exception as error:
        # Keras raises a bare Exception when a download fails.
        if type(error) is not Exception:
            raise
        raise ValueError(
            "the weights of the backbone cannot be downloaded. Without a "
            "network, set `weights` to the path of a file, or to None. "
            f"Received: weights='{weights}': {error}"
        ) from error


def _renamed(model: keras.Model) -> keras.Model:
    """A copy whose automatic layer names are counted within it alone."""
    # Keras counts them within the process, so that they would depend on the
    # models that were built before.
    counts: collections.Counter[str] = collections.Counter()

    def clone(layer: keras.Layer) -> keras.Layer:
        name, config = _automatic_name(layer), layer.get_config()
        if re.fullmatch(rf"{name}(_\d+)?", layer.name):
            counts[name] += 1
            config["name"] = f"{name}_{counts[name]}"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(
        model,
        input_tensors=keras.Input(model.input_shape[1:], name="image"),
        clone_function=clone,
    )
    copy.set_weights(model.get_weights())
    return keras.Model(copy.inputs[0], copy.outputs[0], name="backbone")


def _automatic_name(layer: keras.Layer) -> str:
    """The name Keras gives to a layer without one, but for the number."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", type(layer).__name__)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
