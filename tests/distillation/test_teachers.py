import keras
import numpy as np
import pytest

from kd_tf import check_model, load_model
from kd_tf.distillation.teachers.frozen import FrozenTeacher

layers = keras.layers
EXAMPLES = np.random.default_rng(0).normal(size=(8, 4)).astype("f")


def model(*last):
    return keras.Sequential([keras.Input((4,)), layers.Dense(5), *last])


class Nan(layers.Layer):
    def call(self, x):
        return x * float("nan")


REFUSED = {
    "too wide": (model(layers.Dense(4)), r"output of shape \('B', 4\)"),
    "not flat": (model(layers.Reshape((5, 1))), r"\('B', 5, 1\)"),
    "another input": (
        keras.Sequential([keras.Input((7,)), layers.Dense(3)]),
        r"input of shape \('B', 4\). Received: .*\(None, 7\)",
    ),
    "softmax activation": (
        model(layers.Dense(3, activation="softmax")),
        "ends in softmax. Allowed: logits",
    ),
    "softmax layer": (model(layers.Dense(3), layers.Softmax()), "softmax"),
    "softmax in a nested model": (
        model(keras.Sequential([layers.Dense(3, activation="softmax")])),
        "softmax",
    ),
    "softmax in disguise": (
        model(
            layers.Dense(3, activation="softmax"),
            layers.Activation("linear"),
        ),
        "ends in softmax",
    ),
    "NaN": (model(layers.Dense(3), Nan()), "Received: NaN or infinity"),
}


@pytest.mark.parametrize(("bad", "message"), REFUSED.values(), ids=REFUSED)
def test_unfit_models_are_refused(bad, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_model(bad, EXAMPLES, (3,), "The teacher")
    assert str(caught.value).startswith("The teacher ")
    assert "Allowed: " in str(caught.value)


def test_fit_models_pass():
    check_model(model(layers.Dense(3)), EXAMPLES, (3,), "The teacher")


def test_frozen_teacher_answers_as_in_inference():
    teacher = model(layers.Dropout(0.9, seed=1), layers.Dense(3))
    np.testing.assert_allclose(
        FrozenTeacher(teacher)(EXAMPLES).answers,
        teacher(EXAMPLES, training=False),
    )


def test_code_in_a_file_is_not_run(tmp_path):
    path = tmp_path / "lambda.keras"
    model(layers.Lambda(lambda x: x)).save(path)
    with pytest.raises(ValueError, match="loads with safe_mode=True"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_what_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "model.keras"
    model(layers.Dense(3)).save(path)
    path.write_bytes(path.read_bytes()[:500] if content is None else content)
    with pytest.raises(ValueError, match="model.keras cannot be loaded. Allow"):
        load_model(path)


def test_probabilities_are_quantities_of_a_regression():
    bounded = model(layers.Dense(3, activation="sigmoid"))
    check_model(bounded, EXAMPLES, (3,), "The teacher", logits=False)
    with pytest.raises(ValueError, match="one number a value"):
        check_model(bounded, EXAMPLES, (2,), "The teacher", logits=False)
