import keras
import numpy as np
import pytest

from kd_tf.models import MODEL_NAMES, build_model

ARGUMENTS = {
    "cnn": {"filters": [3, 4], "hidden": 0, "dropout": 0.1},
    "mlp": {"hidden": [5], "dropout": 0.1},
}
# Weights and biases; normalization has four numbers a channel.
PARAMETERS = {
    "cnn": 9 * 3 + 4 * 3 + 9 * 3 * 4 + 4 * 4 + 5 * 2,
    "mlp": 65 * 5 + 6 * 2,
}


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_named_model(name):
    model = build_model(name, (8, 8, 1), 2, **ARGUMENTS[name])
    answers = model(np.ones((3, 8, 8, 1), "f"))
    assert answers.shape == (3, 2)
    assert model.count_params() == PARAMETERS[name]
    assert model.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_names_do_not_depend_on_what_was_built_before(name):
    models = [
        build_model(name, (8, 8, 1), 2, **ARGUMENTS[name]) for _ in range(2)
    ]
    names = [[v.path for v in m.trainable_variables] for m in models]
    assert names[0] == names[1]


def test_hidden_units_replace_the_average():
    model = build_model("cnn", (8, 8, 1), 2, filters=[3], hidden=5, dropout=0)
    assert model.get_layer("hidden").kernel.shape == (8 * 8 * 3, 5)


def test_a_function_of_your_own():
    model = build_model("kd_tf.models.mlp:mlp", (4,), 3, hidden=[], dropout=0.0)
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize(
    ("name", "shape", "arguments", "message"),
    [
        ("vgg", (8, 8, 1), {}, "no model 'vgg'. Allowed: cnn, mlp, or"),
        ("kd_tf:nothing", (4,), {}, "no model 'kd_tf:nothing'"),
        ("os.nowhere:f", (4,), {}, "no model 'os.nowhere:f'"),
        ("mlp", (4,), {"depth": 2}, "Received: .*depth"),
        ("cnn", (4,), ARGUMENTS["cnn"], "needs images"),
        ("cnn", (1, 8, 1), ARGUMENTS["cnn"], "at least 2x2 pixels"),
    ],
)
def test_what_cannot_be_built_is_refused(name, shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model(name, shape, 2, **arguments)
