"""A published architecture from `keras.applications`, with a new head."""

import collections
import difflib
import re

import keras
from keras import layers


def keras_application(input_shape, num_classes, *, backbone, weights, dropout):
    """A backbone, its map averaged over the pixels, and a dense layer.

    Images of one channel are shown three times over. What else the backbone
    expects of them is the business of `data.mean` and `data.std`, and matters
    with `weights` that were learnt on it: 0 and 1 for MobileNetV3, ConvNeXt
    and both EfficientNets, which scale inside; for DenseNet [123.68, 116.28,
    103.53] and [58.40, 57.12, 57.38]; for all others 127.5 and 127.5. VGG and
    the first ResNet learnt on BGR, which RGB images do not become by that:
    take ResNetV2.

    At its defaults, for 96x96x3 and 10 classes: 2,270,794 parameters, 55.0
    million multiply-accumulates, 8929 kB, in int8 2734 kB.

    Args:
        input_shape: (height, width, 1 or 3), of at least 32x32 pixels, some
            backbones more.
        num_classes: Number of logits.
        backbone: A function of `keras.applications`, such as `MobileNetV2`.
        weights: `imagenet`, which is downloaded, a file of weights without
            head, or None for random ones.
        dropout: Share of features silenced before the logits, in [0, 1).

    Returns:
        `keras.Model` answering logits; the backbone is its layer `backbone`.

    Raises:
        ValueError: if there is no such backbone, an example is no image that
            it takes, or its weights cannot be had.

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
    try:
        body = build(
            include_top=False,
            weights=weights,
            input_shape=(*input_shape[:2], 3),
        )
    except Exception as error:
        # What Keras raises when a download fails has no name of its own.
        if type(error) is not Exception:
            raise
        raise ValueError(
            "its weights cannot be downloaded. Allowed: weights: imagenet "
            "where there is a network, the path of a file, or null. Received: "
            f"{error}"
        ) from error
    x = _with_names_of_its_own(body)(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, name="logits")(x)
    return keras.Model(inputs, logits, name="keras_application")


def _find(backbone):
    # Functions have capital letters, modules small ones.
    names = [n for n in dir(keras.applications) if n[0].isupper()]
    if backbone not in names:
        near = difflib.get_close_matches(backbone, names, n=3, cutoff=0.5)
        raise ValueError(
            f"there is no backbone '{backbone}'. Allowed: "
            + (", ".join(near) + ", ..." if near else ", ".join(names))
            + f". Received: backbone='{backbone}'"
        )
    return getattr(keras.applications, backbone)


def _with_names_of_its_own(model):
    """A copy whose layers do not count on from what was built before."""
    counts = collections.Counter()

    def clone(layer):
        kind, config = _automatic_name(layer), layer.get_config()
        if re.fullmatch(rf"{kind}(_\d+)?", layer.name):
            counts[kind] += 1
            config["name"] = f"{kind}_{counts[kind]}"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(
        model,
        input_tensors=keras.Input(model.input_shape[1:], name="image"),
        clone_function=clone,
    )
    copy.set_weights(model.get_weights())
    return keras.Model(copy.inputs[0], copy.outputs[0], name="backbone")


def _automatic_name(layer):
    """What Keras calls a layer that was given no name, but for the number."""
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", type(layer).__name__)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
