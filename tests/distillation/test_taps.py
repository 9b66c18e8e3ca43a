import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kd_tf.distillation.taps import (
    Tapped,
    activation_shapes,
    all_activation_shapes,
)
from tests.distillation.cases import (
    Counting,
    functional,
    images,
    same,
    seen,
    sequential,
)


def below(inner):
    """What a nested model is given, and what it returns in the middle."""
    return keras.Model(inner.inputs[0], inner.get_layer("relu").output)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize("name", ["conv1", "relu", "conv2"])
def test_activation_in_a_functional_model_is_that_of_a_shortened_model(name):
    model, x = functional(), images()
    shortened = keras.Model(model.inputs[0], model.get_layer(name).output)
    same(seen(model, name, x), shortened(x))


@pytest.mark.parametrize("name", ["conv0", "average", "logits"])
def test_activation_in_a_sequential_model_is_that_of_a_shortened_model(name):
    model, x = sequential(), images()
    shortened = keras.Model(model.inputs[0], model.get_layer(name).output)
    same(seen(model, name, x), shortened(x))


def test_activation_by_path_through_two_nested_models():
    stage = functional("stage3")
    backbone = functional("backbone", inner=stage)
    model, x = sequential(backbone), images()
    into_stage = backbone.get_layer("conv1")(model.get_layer("conv0")(x))
    expected = below(stage)(into_stage)
    same(seen(model, "backbone/stage3/relu", x), expected)


def test_activation_of_a_functional_model_nested_in_a_functional_one():
    stage = functional("stage3")
    model, x = functional("whole", inner=stage), images()
    expected = stage(model.get_layer("conv1")(x))
    same(seen(model, "stage3/conv2", x), expected)
    same(seen(model, "stage3", x), expected)


def test_activation_of_a_sequential_model_nested_in_a_functional_one():
    block = keras.Sequential(
        [layers.ReLU(name="first"), layers.ReLU(negative_slope=2, name="last")],
        name="block",
    )
    model, x = functional("whole", inner=block), images()
    expected = np.maximum(model.get_layer("conv1")(x), 0)
    same(seen(model, "block/first", x), expected)


def test_several_activations_and_the_outputs_come_together():
    model, x = sequential(functional("backbone")), images()
    forward = Tapped(model, ["conv0", "backbone/conv2"])(x, training=False)
    assert list(forward.activations) == ["conv0", "backbone/conv2"]
    assert forward.training is False
    same(forward.outputs, model(x))


def test_training_mode_reaches_the_layers():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dropout(0.5, name="drop"), layers.Dense(2)]
    )
    x = np.ones((50, 4), "f")
    assert np.all(seen(model, "drop", x) == 1)
    assert set(np.unique(seen(model, "drop", x, training=True))) == {0, 2}


@pytest.mark.parametrize("in_graph", [False, True])
def test_activations_cost_no_further_pass(in_graph):
    counter = Counting()
    tapped = Tapped(sequential(counter), ["conv0", counter.name, "logits"])

    def run(x):
        return tapped(x, training=False).outputs

    run = tf.function(run) if in_graph else run
    for _ in range(3):
        run(images())
    assert int(counter.passes) == 3


@pytest.mark.parametrize("shared", ["layer", "model"])
def test_layer_called_twice_is_refused(shared):
    inner = functional("twice")
    part = inner if shared == "model" else layers.ReLU(name="again")
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, part(part(inputs)))
    path = "twice/relu" if shared == "model" else "again"
    with pytest.raises(ValueError, match=r"cannot be tapped.*2 calls"):
        Tapped(model, [path])(images(), training=False)


def test_layer_that_gives_several_tensors_is_refused():
    inputs = keras.Input((5, 3))
    outputs, *_ = layers.LSTM(2, return_state=True, name="lstm")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(outputs))
    with pytest.raises(ValueError, match=r"'lstm'.*1 calls, a (tuple|list)"):
        Tapped(model, ["lstm"])(np.ones((2, 5, 3), "f"), training=False)


def test_layers_of_a_subclassed_model_are_refused():
    with pytest.raises(ValueError, match="Received: Subclassed without"):
        Tapped(Subclassed(), ["dense"])


def test_subclassed_model_runs_where_no_layer_is_wanted():
    model, x = Subclassed(), np.ones((2, 4), "f")
    forward = Tapped(model)(x, training=False)
    same(forward.outputs, model(x))
    assert forward.activations == {}


def test_sequential_model_is_refused_until_it_is_built():
    model = keras.Sequential([layers.Dense(2, name="dense")])
    with pytest.raises(ValueError, match=r"built on their inputs.*Sequential"):
        Tapped(model, ["dense"])
    x = np.ones((2, 4), "f")
    outputs = model(x)
    same(seen(model, "dense", x), outputs)


def test_same_in_a_graph():
    model, x = sequential(functional("backbone")), images()
    tapped = Tapped(model, ["backbone/relu"])

    @tf.function
    def in_graph(x):
        return tapped(x, training=False).activations["backbone/relu"]

    same(in_graph(x), seen(model, "backbone/relu", x))


def test_masks_reach_the_layers_behind_a_tapped_one():
    inputs = keras.Input((4,), dtype="int32")
    x = layers.Embedding(5, 3, mask_zero=True, name="embedding")(inputs)
    x = layers.LSTM(2, return_sequences=True, name="lstm")(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling1D(name="mean")(x))
    tokens = np.array([[1, 2, 0, 0], [3, 4, 1, 2]])
    expected = model(tokens)
    tapped = Tapped(model, ["embedding", "lstm", "mean"])
    forward = tapped(tokens, training=False)
    same(forward.outputs, expected)
    # The mean is over the two tokens that are there, not over all four.
    of_tokens = np.array(forward.activations["lstm"])[0, :2]
    same(forward.activations["mean"][0], of_tokens.mean(axis=0))


def two_inputs():
    inputs = {
        "a": keras.Input((3,), name="a"),
        "b": keras.Input((2,), name="b"),
    }
    a = layers.Dense(4, name="from_a")(inputs["a"])
    b = layers.Dense(5, name="from_b")(inputs["b"])
    both = layers.Concatenate(name="both")([a, b])
    outputs = {
        "left": layers.Dense(1, name="l")(both),
        "right": layers.Dense(2, name="r", activation="tanh")(both),
    }
    return keras.Model(inputs, outputs)


def test_model_of_several_named_inputs():
    model = two_inputs()
    x = {"a": np.ones((2, 3), "f"), "b": np.ones((2, 2), "f")}
    forward = Tapped(model, ["from_b"])(x, training=False)
    same(forward.activations["from_b"], model.get_layer("from_b")(x["b"]))
    assert forward.outputs.keys() == {"left", "right"}
    assert activation_shapes(model, ["both", "from_a"]) == {
        "both": (None, 9),
        "from_a": (None, 4),
    }


def test_shapes_of_inputs_of_any_size():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    model = keras.Model(inputs, x)
    assert activation_shapes(model, ["conv", "average"]) == {
        "conv": (None, None, None, 4),
        "average": (None, 4),
    }
    assert all_activation_shapes(model, 10) == {
        "conv": (None, 5, 5, 4),
        "average": (None, 4),
    }


def test_shapes_are_found_without_running_the_model():
    counter = Counting()
    model = sequential(counter)
    shapes = activation_shapes(model, ["conv0"])
    assert shapes == {"conv0": (None, 6, 6, 3)}
    assert int(counter.passes) == 0


def test_shapes_of_all_layers_leave_out_those_that_cannot_be_tapped():
    inputs = keras.Input((5, 3), name="x")
    again = layers.ReLU(name="again")
    outputs, *_ = layers.LSTM(2, return_state=True, name="lstm")(
        again(again(inputs))
    )
    model = keras.Model(inputs, layers.Dense(4, name="dense")(outputs))
    assert all_activation_shapes(model, 9) == {"dense": (None, 4)}
