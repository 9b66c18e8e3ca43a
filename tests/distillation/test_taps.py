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


def twice(shared):
    inner = functional("twice")
    part = inner if shared == "model" else layers.ReLU(0.5, name="again")
    inputs = keras.Input((6, 6, 3))
    return keras.Model(inputs, part(part(inputs))), part


@pytest.mark.parametrize("shared", ["layer", "model"])
def test_layer_called_twice_asks_for_the_call(shared):
    model, _ = twice(shared)
    path = "twice/relu" if shared == "model" else "again"
    with pytest.raises(
        ValueError, match=rf"Choose a call: '{path}#0' to '{path}#1'.*2 calls"
    ):
        Tapped(model, [path])(images(), training=False)


def test_calls_of_a_layer_are_told_apart():
    model, part = twice("model")
    x = images()
    paths = ["twice#0", "twice#1", "twice/conv1#1", "twice#-1"]
    activations = Tapped(model, paths)(x, training=False).activations
    assert list(activations) == paths
    same(activations["twice#0"], part(x))
    same(activations["twice#1"], part(part(x)))
    same(activations["twice#-1"], part(part(x)))
    same(activations["twice/conv1#1"], part.get_layer("conv1")(part(x)))


def test_call_that_is_not_made_is_refused():
    model, _ = twice("layer")
    with pytest.raises(ValueError, match=r"'again#2'.*2 calls"):
        Tapped(model, ["again#2"])(images(), training=False)


def test_layer_that_is_not_called_is_refused():
    class Partly(Subclassed):
        def __init__(self):
            super().__init__()
            self.idle = layers.ReLU()

    with pytest.raises(ValueError, match=r"'idle'.*calls in this mode.*0 cal"):
        Tapped(Partly(), ["idle"])(np.ones((2, 4), "f"), training=False)


def lstm():
    inputs = keras.Input((5, 3))
    outputs, *_ = layers.LSTM(2, return_state=True, name="lstm")(inputs)
    return keras.Model(inputs, layers.Dense(2)(outputs))


def test_layer_with_several_outputs_asks_for_one():
    with pytest.raises(
        ValueError, match=r"Choose an output: lstm:0, lstm:1, lstm:2. Received"
    ):
        Tapped(lstm(), ["lstm"])(np.ones((2, 5, 3), "f"), training=False)


def test_outputs_of_a_layer_are_told_apart():
    model, x = lstm(), np.ones((2, 5, 3), "f")
    expected = model.get_layer("lstm")(x)
    paths = ["lstm:0", "lstm:2", "lstm#0:1"]
    activations = Tapped(model, paths)(x, training=False).activations
    for path, i in zip(paths, (0, 2, 1), strict=True):
        same(activations[path], expected[i])
    assert activation_shapes(model, ["lstm:2"]) == {"lstm:2": (None, 2)}


def test_output_by_its_key():
    class Two(layers.Layer):
        def call(self, x):
            return {"double": 2 * x, "half": x / 2}

    inputs = keras.Input((3,))
    both = Two(name="two")(inputs)
    model, x = keras.Model(inputs, both["half"]), np.ones((2, 3), "f")
    same(seen(model, "two:double", x), 2 * x)
    with pytest.raises(ValueError, match=r"two:double, two:half. Received"):
        seen(model, "two:third", x)


class Block(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.conv = layers.Dense(2, activation="relu")

    def call(self, x):
        return self.conv(x)


class Encoder(keras.Model):
    """Layers in attributes, lists and dicts, and in layers of these."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)
        self.blocks = [Block(), Block()]
        self.heads = {"a": layers.Dense(1, name="head_of_a")}
        self.nested = Subclassed()
        self.stem = keras.Sequential([layers.Dense(3, name="first")])

    def call(self, x):
        x = self.dense(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.heads["a"](self.nested(x))


def test_layers_of_a_subclassed_model_are_attributes():
    model, x = Encoder(), np.ones((2, 4), "f")
    paths = [
        "stem/first",
        "blocks/0",
        "blocks/0/conv",
        "blocks/1/conv",
        "nested/dense",
        "heads/a",
        "head_of_a",
    ]
    forward = Tapped(model, paths)(x, training=False)
    assert list(forward.activations) == paths
    x = model.dense(model.stem(x))
    first = model.blocks[0](x)
    same(forward.activations["blocks/0"], first)
    same(forward.activations["blocks/0/conv"], first)
    second = model.blocks[1](first)
    same(forward.activations["blocks/1/conv"], second)
    same(forward.activations["nested/dense"], model.nested(second))
    same(forward.activations["heads/a"], forward.outputs)
    same(forward.activations["head_of_a"], forward.outputs)


def test_layer_inside_a_custom_layer_of_a_functional_model():
    inputs = keras.Input((4,))
    block = Block(name="block")
    model = keras.Model(inputs, layers.Dense(2, name="conv1")(block(inputs)))
    x = np.ones((2, 4), "f")
    same(seen(model, "block/conv", x), block(x))
    same(seen(model, "conv", x), block(x))  # the end of one path alone
    assert activation_shapes(model, ["block/conv"]) == {"block/conv": (None, 2)}


def test_end_that_several_layers_share_is_refused():
    with pytest.raises(ValueError, match="Allowed: blocks/0/conv, blocks/1/co"):
        Tapped(Encoder(), ["conv"])


def test_layer_of_a_subclassed_model_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"no layer 'blocks/0/cov'.*ocks/0/co"):
        Tapped(Encoder(), ["blocks/0/cov"])
    with pytest.raises(ValueError, match="call it on a batch first"):
        Tapped(Encoder(), ["zzz"])


def test_shapes_in_a_subclassed_model_are_known_after_its_first_call():
    model, paths = Encoder(), ["blocks/1/conv", "heads/a"]
    with pytest.raises(ValueError, match="Call it once on a batch"):
        activation_shapes(model, paths)
    model(np.ones((2, 4), "f"))
    assert activation_shapes(model, paths) == {
        "blocks/1/conv": (None, 2),
        "heads/a": (None, 1),
    }


def test_layer_inside_a_loop_is_refused():
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, layers.GRU(2, name="gru")(inputs))
    run = tf.function(
        lambda x: Tapped(model, ["gru/cell#0"])(x, training=False).activations
    )
    with pytest.raises(ValueError, match=r"'gru/cell#0'.*inside a loop"):
        run(tf.ones((2, 5, 3)))


@pytest.mark.parametrize("path", ["conv", "relu", "norm"])
def test_channels_first_are_refused(path):
    inputs = keras.Input((3, 8, 8))
    x = layers.Conv2D(4, 3, data_format="channels_first", name="conv")(inputs)
    x = layers.ReLU(name="relu")(x)
    x = layers.BatchNormalization(axis=1, name="norm")(x)
    x = layers.Permute((2, 3, 1), name="last")(x)
    average = layers.GlobalAveragePooling2D(name="average")(x)
    model = keras.Model(inputs, average)
    with pytest.raises(ValueError, match=rf"'{path}' returns its channels fir"):
        activation_shapes(model, [path])
    assert activation_shapes(model, ["last", "average"]) == {
        "last": (None, 6, 6, 4),
        "average": (None, 4),
    }


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
