import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kd_tf.distillation import taps
from kd_tf.distillation.taps import Tapped
from kd_tf.models import graph


def images(count=2, size=6):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, size, size, 3)).astype("f")


def functional(name="stage3", inner=None):
    """A trunk of convolutions; `inner` stands between them, if there is."""
    inputs = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(3, 3, padding="same", name="conv1")(inputs)
    if inner is not None:
        x = inner(x)
    x = layers.ReLU(name="relu")(x)
    outputs = layers.Conv2D(3, 3, padding="same", name="conv2")(x)
    return keras.Model(inputs, outputs, name=name)


def sequential(*middle, name="plain"):
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(3, 3, padding="same", name="conv0"),
            *middle,
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(2, name="logits"),
        ],
        name=name,
    )


def below(inner):
    """What a nested model is given, and what it answers in the middle."""
    return keras.Model(inner.inputs[0], inner.get_layer("relu").output)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x):
        return self.dense(x)


class Failing(layers.Layer):
    """Fails when it is told to, as a layer out of memory would."""

    def __init__(self):
        super().__init__()
        self.fails = False

    def call(self, x):
        if self.fails:
            raise RuntimeError("out of memory")
        return x


class Counting(layers.Layer):
    """Counts how often a batch really passes, in graph mode too."""

    def __init__(self):
        super().__init__()
        self.passes = tf.Variable(0)

    def call(self, x):
        self.passes.assign_add(1)
        return tf.identity(x)


def seen(model, path, x, training=False):
    return Tapped(model, [path])(x, training=training).activations[path]


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["conv1", "relu", "conv2"])
def test_activation_in_a_functional_model_is_that_of_a_cut_model(name):
    model, x = functional(), images()
    cut = keras.Model(model.inputs[0], model.get_layer(name).output)
    same(seen(model, name, x), cut(x))


@pytest.mark.parametrize("name", ["conv0", "average", "logits"])
def test_activation_in_a_sequential_model_is_that_of_a_cut_model(name):
    model, x = sequential(), images()
    cut = keras.Model(model.inputs[0], model.get_layer(name).output)
    same(seen(model, name, x), cut(x))


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


def test_several_activations_and_the_answers_come_together():
    model, x = sequential(functional("backbone")), images()
    found = Tapped(model, ["conv0", "backbone/conv2"])(x, training=False)
    assert list(found.activations) == ["conv0", "backbone/conv2"]
    assert found.training is False
    same(found.answers, model(x))


def test_training_mode_reaches_the_layers():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dropout(0.5, name="drop"), layers.Dense(2)]
    )
    x = np.ones((50, 4), "f")
    assert np.all(seen(model, "drop", x) == 1)
    assert set(np.unique(seen(model, "drop", x, training=True))) == {0, 2}


def test_last_part_of_a_path_is_enough_where_no_other_layer_ends_in_it():
    model = sequential(functional("backbone"))
    relu = model.get_layer("backbone").get_layer("relu")
    assert taps.find_layer(model, "relu") is relu


def test_whole_path_wins_over_the_ends_of_others():
    outer = functional("outer", inner=functional("inner"))
    assert taps.find_layer(outer, "relu") is outer.get_layer("relu")


def test_last_part_that_several_share_is_refused_with_their_paths():
    one, two = functional("one"), functional("two")
    model = sequential(one, two)
    with pytest.raises(ValueError, match="Several") as raised:
        Tapped(model, ["relu"])
    assert "Allowed: one/relu, two/relu. " in str(raised.value)
    assert "Received: 'relu'" in str(raised.value)


def test_unknown_layer_is_refused_with_names_near_to_it():
    model = sequential(functional("backbone"))
    with pytest.raises(ValueError, match="has no layer 'backbone/con2'") as e:
        Tapped(model, ["backbone/con2"])
    assert "backbone/conv2" in str(e.value)
    assert "average" not in str(e.value)


def test_unknown_layer_like_no_other_is_refused_with_all_names():
    with pytest.raises(ValueError, match="Allowed: conv0, average, logits. "):
        Tapped(sequential(), ["zzz"])


@pytest.mark.parametrize("in_graph", [False, True])
def test_activations_cost_no_further_pass(in_graph):
    counter = Counting()
    tapped = Tapped(sequential(counter), ["conv0", counter.name, "logits"])

    def run(x):
        return tapped(x, training=False).answers

    run = tf.function(run) if in_graph else run
    for _ in range(3):
        run(images())
    assert int(counter.passes) == 3


def state_of(model):
    """What a tap might leave behind in the layers of a model."""
    return [
        (layer.output, len(layer._inbound_nodes), set(vars(layer)))
        for layer in taps.named_layers(model).values()
    ]


def test_model_is_left_as_it_was():
    model = sequential(functional("backbone"))
    before = state_of(model)
    paths = list(taps.named_layers(model))
    paths.remove("backbone/image")
    Tapped(model, paths)(images(), training=True)
    for (output, *old), (new_output, *new) in zip(
        before, state_of(model), strict=True
    ):
        assert new_output is output
        assert new == old
        assert "call" not in new[1]


def test_model_is_left_as_it_was_after_a_failure():
    failing = Failing()
    model = sequential(failing)
    tapped, failing.fails = Tapped(model, ["conv0", failing.name]), True
    before = state_of(model)
    with pytest.raises(RuntimeError, match="out of memory"):
        tapped(images(), training=False)
    assert [s[1:] for s in state_of(model)] == [s[1:] for s in before]
    failing.fails = False
    assert tapped(images(), False).activations["conv0"].shape == (2, 6, 6, 3)


def test_call_that_a_layer_had_of_its_own_is_put_back():
    model = sequential()
    layer = model.get_layer("conv0")
    own = vars(layer)["call"] = lambda x: 2.0 * x
    same(seen(model, "conv0", images()), 2 * images())
    assert vars(layer)["call"] is own


@pytest.mark.parametrize("shared", ["layer", "model"])
def test_layer_called_twice_is_refused(shared):
    inner = functional("twice")
    part = inner if shared == "model" else layers.ReLU(name="again")
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, part(part(inputs)))
    path = "twice/relu" if shared == "model" else "again"
    with pytest.raises(ValueError, match="cannot be tapped.*2 calls"):
        Tapped(model, [path])(images(), training=False)


def test_layer_that_gives_several_tensors_is_refused():
    inputs = keras.Input((5, 3))
    answers, *_ = layers.LSTM(2, return_state=True, name="lstm")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(answers))
    with pytest.raises(ValueError, match="'lstm'.*1 calls, a (tuple|list)"):
        Tapped(model, ["lstm"])(np.ones((2, 5, 3), "f"), training=False)


def test_layers_of_a_subclassed_model_are_refused():
    with pytest.raises(ValueError, match="Received: Subclassed without"):
        Tapped(Subclassed(), ["dense"])


def test_subclassed_model_runs_where_no_layer_is_wanted():
    model, x = Subclassed(), np.ones((2, 4), "f")
    found = Tapped(model)(x, training=False)
    same(found.answers, model(x))
    assert found.activations == {}


def test_sequential_model_is_refused_until_it_is_built():
    model = keras.Sequential([layers.Dense(2, name="dense")])
    with pytest.raises(ValueError, match="built on their inputs.*Sequential"):
        Tapped(model, ["dense"])
    x = np.ones((2, 4), "f")
    answers = model(x)
    same(seen(model, "dense", x), answers)


def test_same_in_a_graph():
    model, x = sequential(functional("backbone")), images()
    tapped = Tapped(model, ["backbone/relu"])

    @tf.function
    def in_graph(x):
        return tapped(x, training=False).activations["backbone/relu"]

    same(in_graph(x), seen(model, "backbone/relu", x))


class Meeting(layers.Layer):
    """Waits until two threads are inside the model at once."""

    def __init__(self):
        super().__init__()
        self.barrier = None

    def call(self, x):
        if self.barrier is not None:
            self.barrier.wait(timeout=5)
        return x


@pytest.mark.parametrize("taps_each", ["shared", "own"])
def test_two_threads_at_once_each_see_their_own(taps_each):
    meeting = Meeting()
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.ReLU(name="early"),
            meeting,
            layers.ReLU(name="late"),
        ]
    )
    shared = Tapped(model, ["early", "late"])
    found, meeting.barrier = {}, threading.Barrier(2)

    def run(number):
        tapped = shared
        if taps_each == "own":
            tapped = Tapped(model, ["early", "late"])
        for again in range(10):
            x = tf.fill((1, 2), float(10 * again + number))
            found[number, again] = tapped(x, training=False).activations

    threads = [threading.Thread(target=run, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    for (number, again), activations in found.items():
        for path in ("early", "late"):
            assert np.all(activations[path] == 10 * again + number)
    assert not any("call" in vars(layer) for layer in model.layers)


def test_tap_within_a_tap_sees_its_own():
    model = sequential()

    class Asking(layers.Layer):
        def call(self, x):
            return seen(model, "conv0", 2 * x)

    inputs = keras.Input((6, 6, 3))
    asking = Asking(name="asking")
    whole = keras.Model(inputs, asking(model.get_layer("conv0")(inputs)))
    x, conv = images(), model.get_layer("conv0")
    found = Tapped(whole, ["conv0", "asking"])
    with pytest.raises(ValueError, match="'conv0' cannot be tapped.*2 calls"):
        found(x, training=False)
    same(seen(whole, "asking", x), conv(2 * conv(x)))
    assert "call" not in vars(conv)


def test_masks_reach_the_layers_behind_a_tapped_one():
    inputs = keras.Input((4,), dtype="int32")
    x = layers.Embedding(5, 3, mask_zero=True, name="embedding")(inputs)
    x = layers.LSTM(2, return_sequences=True, name="lstm")(x)
    model = keras.Model(inputs, layers.GlobalAveragePooling1D(name="mean")(x))
    tokens = np.array([[1, 2, 0, 0], [3, 4, 1, 2]])
    expected = model(tokens)
    tapped = Tapped(model, ["embedding", "lstm", "mean"])
    found = tapped(tokens, training=False)
    same(found.answers, expected)
    # The mean is over the two tokens that are there, not over all four.
    of_tokens = np.array(found.activations["lstm"])[0, :2]
    same(found.activations["mean"][0], of_tokens.mean(axis=0))


def two_inputs():
    inputs = {
        "a": keras.Input((3,), name="a"),
        "b": keras.Input((2,), name="b"),
    }
    a = layers.Dense(4, name="from_a")(inputs["a"])
    b = layers.Dense(5, name="from_b")(inputs["b"])
    both = layers.Concatenate(name="both")([a, b])
    answers = {
        "left": layers.Dense(1, name="l")(both),
        "right": layers.Dense(2, name="r", activation="tanh")(both),
    }
    return keras.Model(inputs, answers)


def test_model_of_several_named_inputs():
    model = two_inputs()
    x = {"a": np.ones((2, 3), "f"), "b": np.ones((2, 2), "f")}
    found = Tapped(model, ["from_b"])(x, training=False)
    same(found.activations["from_b"], model.get_layer("from_b")(x["b"]))
    assert found.answers.keys() == {"left", "right"}
    assert taps.activation_shapes(model, ["both", "from_a"]) == {
        "both": (None, 9),
        "from_a": (None, 4),
    }


def test_shapes_of_inputs_of_any_size():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    model = keras.Model(inputs, x)
    assert taps.activation_shapes(model, ["conv", "average"]) == {
        "conv": (None, None, None, 4),
        "average": (None, 4),
    }
    assert taps.all_activation_shapes(model, 10) == {
        "conv": (None, 5, 5, 4),
        "average": (None, 4),
    }


def test_shapes_are_found_without_running_the_model():
    counter = Counting()
    model = sequential(counter)
    shapes = taps.activation_shapes(model, ["conv0"])
    assert shapes == {"conv0": (None, 6, 6, 3)}
    assert int(counter.passes) == 0


def test_shapes_of_all_layers_leave_out_those_that_cannot_be_tapped():
    inputs = keras.Input((5, 3), name="x")
    again = layers.ReLU(name="again")
    answers, *_ = layers.LSTM(2, return_state=True, name="lstm")(
        again(again(inputs))
    )
    model = keras.Model(inputs, layers.Dense(4, name="dense")(answers))
    assert taps.all_activation_shapes(model, 9) == {"dense": (None, 4)}


def names_of(operations):
    return [operation.name for operation in operations]


def test_answering_operations_of_a_nested_model_go_inwards():
    inner = functional("inner")
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, inner(inputs), name="outer")
    found = graph.answering_operations(model)
    assert found.keys() == {None}
    assert names_of(found[None]) == ["inner", "conv2"]


def test_answering_operation_of_a_sequential_model_is_its_last_layer():
    found = graph.answering_operations(sequential())
    assert names_of(found[None]) == ["logits"]
    model = keras.Sequential([keras.Input((6, 6, 3)), functional("inner")])
    found = graph.answering_operations(model)
    assert names_of(found[None]) == ["inner", "conv2"]


def test_answering_operations_of_named_answers_stand_under_their_names():
    found = graph.answering_operations(two_inputs())
    assert {k: names_of(v) for k, v in found.items()} == {
        "left": ["l"],
        "right": ["r"],
    }


def test_answering_operations_of_listed_answers_stand_under_their_index():
    inputs = keras.Input((3,))
    outputs = [layers.Dense(1, name="p")(inputs), layers.ReLU(name="q")(inputs)]
    found = graph.answering_operations(keras.Model(inputs, outputs))
    assert {k: names_of(v) for k, v in found.items()} == {0: ["p"], 1: ["q"]}


def test_answering_operation_that_is_no_layer_is_found():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.ops.softmax(layers.Dense(2)(inputs)))
    [operation] = graph.answering_operations(model)[None]
    assert type(operation).__name__ == "Softmax"


def test_subclassed_model_has_no_answering_operations():
    assert graph.answering_operations(Subclassed()) == {}
