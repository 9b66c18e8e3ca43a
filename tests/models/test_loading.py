import keras
import numpy as np
import pytest

from kd_tf import check_model, load_model
from kd_tf.models.loading import refuse_probabilities

layers = keras.layers
EXAMPLES = np.random.default_rng(0).normal(size=(8, 4)).astype("f")


def model(*last):
    return keras.Sequential([keras.Input((4,)), layers.Dense(5), *last])


class Nan(layers.Layer):
    def call(self, x):
        return x * float("nan")


REFUSED = {
    "too wide": (
        model(layers.Dense(4)),
        r"wrong output shape. It must be one logit for each class, "
        r"\('B', 3\). Received: output of shape \('B', 4\)",
    ),
    "not flat": (model(layers.Reshape((5, 1))), r"\('B', 5, 1\)"),
    "another input": (
        keras.Sequential([keras.Input((7,)), layers.Dense(3)]),
        r"input must have shape \('B', 4\). Received: .*\(None, 7\)",
    ),
    "softmax activation": (
        model(layers.Dense(3, activation="softmax")),
        "ends in softmax, but must output logits",
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


def check(candidate, num_outputs=3, **options):
    check_model(
        candidate,
        EXAMPLES,
        output_shape=(num_outputs,),
        name="The teacher",
        **options,
    )


@pytest.mark.parametrize(
    ("candidate", "message"), REFUSED.values(), ids=REFUSED
)
def test_unfit_models_are_refused(candidate, message):
    with pytest.raises(ValueError, match=message) as caught:
        check(candidate)
    assert str(caught.value).startswith("The teacher ")
    assert "Received: " in str(caught.value)


def test_fit_models_pass():
    assert check(model(layers.Dense(3))) is None


def test_probabilities_are_values_of_a_regression():
    bounded = model(layers.Dense(3, activation="sigmoid"))
    check(bounded, logits=False)
    with pytest.raises(ValueError, match="one number a value"):
        check(bounded, 2, logits=False)


class Subclassed(keras.Model):
    """Ends in softmax, which no graph shows."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.dense(x)


def test_probabilities_of_a_subclassed_model_are_seen_in_its_outputs():
    refuse_probabilities(Subclassed(), "The teacher")
    with pytest.raises(ValueError, match="The teacher ends in softmax"):
        check(Subclassed())


def test_probabilities_of_an_output_that_does_not_matter_are_allowed():
    inputs = keras.Input((4,))
    two = keras.Model(
        inputs,
        {
            "logits": layers.Dense(3)(inputs),
            "shares": layers.Dense(2, activation="sigmoid")(inputs),
        },
    )
    refuse_probabilities(two, "The student", output="logits")
    for output in ("shares", None):
        with pytest.raises(ValueError, match="The student ends in sigmoid"):
            refuse_probabilities(two, "The student", output=output)


def test_code_in_a_file_is_not_run(tmp_path):
    path = tmp_path / "lambda.keras"
    model(layers.Lambda(lambda x: x)).save(path)
    with pytest.raises(ValueError, match="loads with safe_mode=True"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_a_file_that_is_not_a_model_is_refused(tmp_path, content):
    path = tmp_path / "model.keras"
    model(layers.Dense(3)).save(path)
    path.write_bytes(path.read_bytes()[:500] if content is None else content)
    with pytest.raises(ValueError, match=r"model.keras cannot be loaded. It m"):
        load_model(path)
