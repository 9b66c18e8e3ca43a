import keras
import pytest
from keras import layers

from kd_tf.models.graph import (
    calls,
    find_layer,
    is_symbolic,
    layers_with_weights,
    named_layers,
    output_key,
    output_operations,
    outputs_by_name,
)


def functional(name="stage3", inner=None):
    """A chain of convolutions, with `inner` in the middle if it is given."""
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


def two_outputs():
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


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = functional("inner")
        self.pool = layers.GlobalAveragePooling2D()
        self.dense = layers.Dense(2, name="dense")

    def call(self, x):
        return self.dense(self.pool(self.first(x)))


def test_named_layers_lists_what_is_in_a_nested_model_before_it():
    model = sequential(functional("backbone"))
    assert list(named_layers(model)) == [
        "conv0",
        "backbone/image",
        "backbone/conv1",
        "backbone/relu",
        "backbone/conv2",
        "backbone",
        "average",
        "logits",
    ]


def test_find_layer_by_path_through_two_nested_models():
    stage = functional("stage3")
    model = sequential(functional("backbone", inner=stage))
    relu = stage.get_layer("relu")
    assert find_layer(model, "backbone/stage3/relu") is relu


def test_find_layer_takes_the_end_of_a_path_that_is_unique():
    model = sequential(functional("backbone"))
    relu = model.get_layer("backbone").get_layer("relu")
    assert find_layer(model, "relu") is relu


def test_find_layer_prefers_a_whole_path_to_the_ends_of_others():
    outer = functional("outer", inner=functional("inner"))
    assert find_layer(outer, "relu") is outer.get_layer("relu")


def test_find_layer_lists_the_paths_of_an_end_that_several_share():
    model = sequential(functional("one"), functional("two"))
    with pytest.raises(ValueError, match="Several") as raised:
        find_layer(model, "relu")
    assert "Allowed: one/relu, two/relu. " in str(raised.value)
    assert "Received: 'relu'" in str(raised.value)


def test_find_layer_suggests_similar_names():
    model = sequential(functional("backbone"))
    with pytest.raises(ValueError, match="has no layer 'backbone/con2'") as e:
        find_layer(model, "backbone/con2")
    assert "backbone/conv2" in str(e.value)
    assert "average" not in str(e.value)


def test_find_layer_lists_all_names_where_none_is_similar():
    with pytest.raises(ValueError, match=r"Allowed: conv0, average, logits. "):
        find_layer(sequential(), "zzz")


def test_calls_of_a_functional_model_come_in_order_with_shapes():
    one, two, three = calls(functional())
    assert [c.path for c in (one, two, three)] == ["conv1", "relu", "conv2"]
    assert isinstance(one.operation, layers.Conv2D)
    assert one.input_shapes == ((6, 6, 3),)
    assert one.output_shapes == ((6, 6, 3),)


def test_calls_of_a_sequential_model():
    shapes = {c.path: c.output_shapes for c in calls(sequential())}
    assert shapes == {
        "conv0": ((6, 6, 3),),
        "average": ((3,),),
        "logits": ((2,),),
    }


def test_calls_of_several_inputs_and_outputs():
    shapes = {c.path: c.input_shapes for c in calls(two_outputs())}
    assert shapes["both"] == ((4,), (5,))
    inputs = keras.Input((5, 3))
    outputs, *_ = layers.LSTM(2, return_state=True, name="lstm")(inputs)
    (call,) = calls(keras.Model(inputs, outputs))
    assert call.output_shapes == ((2,), (2,), (2,))


def test_calls_of_an_axis_of_any_length_have_none():
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    (call,) = calls(model)
    assert call.input_shapes == ((None, 3),)


def test_calls_inside_nested_models_have_their_path():
    inner = keras.Sequential([layers.Input((5,)), layers.Dense(4, name="d")])
    middle = keras.Sequential([layers.Input((5,)), inner], name="middle")
    inputs = keras.Input((5,))
    path = f"middle/{inner.name}/d"
    assert [c.path for c in calls(keras.Model(inputs, middle(inputs)))] == [
        path
    ]


def test_a_layer_called_twice_has_two_calls_in_its_own_model_alone():
    dense, first, second = layers.Dense(5), keras.Input((5,)), keras.Input((5,))
    model = keras.Model(first, dense(dense(first)))
    keras.Model(second, dense(second))
    assert [c.operation for c in calls(model)] == [dense, dense]


def test_operations_that_are_not_layers_are_called_too():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.ops.softmax(layers.Dense(2)(inputs)))
    assert type([*calls(model)][-1].operation).__name__ == "Softmax"


def test_reading_calls_leaves_the_model_as_it_was():
    model = functional()
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    config = model.get_config()
    list(calls(model))
    assert [len(layer._inbound_nodes) for layer in model.layers] == nodes
    assert model.get_config() == config


@pytest.mark.parametrize(
    "read",
    [named_layers, lambda m: find_layer(m, "dense"), lambda m: [*calls(m)]],
)
@pytest.mark.parametrize(
    "model", [Subclassed(), keras.Sequential([layers.Dense(2, name="dense")])]
)
def test_a_model_without_a_graph_is_refused(read, model):
    assert not is_symbolic(model)
    name = type(model).__name__
    with pytest.raises(ValueError, match=f"built on.*Received: {name} without"):
        read(model)


def test_calls_inside_a_nested_subclassed_model_are_refused():
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, Subclassed()(inputs))
    with pytest.raises(ValueError, match="Received: Subclassed without"):
        list(calls(model))


def test_layers_with_weights_opens_nested_models_and_lists_each_once():
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    nested = keras.Sequential([keras.Input((6, 6, 3)), shared], name="nested")
    model = sequential(shared, layers.ReLU(), nested)
    names = [layer.name for layer in layers_with_weights(model)]
    assert sorted(names) == ["conv0", "logits", "shared"]


def test_layers_with_weights_of_a_subclassed_model():
    model = Subclassed()
    model(keras.ops.zeros((1, 6, 6, 3)))
    names = [layer.name for layer in layers_with_weights(model)]
    assert sorted(names) == ["conv1", "conv2", "dense"]


def test_layers_with_weights_goes_into_wrappers_and_cells():
    inputs = keras.Input((5, 3))
    outputs = layers.Bidirectional(layers.GRU(2))(inputs)
    outputs = layers.BatchNormalization()(outputs)
    cells = layers_with_weights(keras.Model(inputs, outputs))
    kinds = sorted(type(layer).__name__ for layer in cells)
    assert kinds == ["BatchNormalization", "GRUCell", "GRUCell"]


def test_layers_with_weights_account_for_every_weight_once():
    model = functional("outer", inner=functional("inner"))
    weights = [w for x in layers_with_weights(model) for w in x.weights]
    assert sorted(map(id, weights)) == sorted(map(id, model.weights))


def names_of(operations):
    return [operation.name for operation in operations]


def test_output_operations_of_a_nested_model_go_inwards():
    inner = functional("inner")
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, inner(inputs), name="outer")
    operations = output_operations(model)
    assert operations.keys() == {None}
    assert names_of(operations[None]) == ["inner", "conv2"]


def test_output_operation_of_a_sequential_model_is_its_last_layer():
    operations = output_operations(sequential())
    assert names_of(operations[None]) == ["logits"]
    model = keras.Sequential([keras.Input((6, 6, 3)), functional("inner")])
    operations = output_operations(model)
    assert names_of(operations[None]) == ["inner", "conv2"]


def test_output_operations_go_past_layers_that_compute_nothing():
    inputs = keras.Input((3,))
    x = layers.Dense(4, name="dense")(inputs)
    x = layers.Dropout(0.5, name="drop")(layers.Reshape((2, 2), name="grid")(x))
    x = layers.Activation("linear", name="cast")(x)
    operations = output_operations(keras.Model(inputs, x))
    assert names_of(operations[None]) == ["cast", "drop", "grid", "dense"]
    x = layers.Activation("tanh", name="tanh")(x)
    operations = output_operations(keras.Model(inputs, x))
    assert names_of(operations[None]) == ["tanh"]


def test_output_operations_of_named_outputs_stand_under_their_names():
    operations = output_operations(two_outputs())
    assert {k: names_of(v) for k, v in operations.items()} == {
        "left": ["l"],
        "right": ["r"],
    }


def test_output_operations_of_listed_outputs_stand_under_their_index():
    inputs = keras.Input((3,))
    outputs = [layers.Dense(1, name="p")(inputs), layers.ReLU(name="q")(inputs)]
    operations = output_operations(keras.Model(inputs, outputs))
    assert {k: names_of(v) for k, v in operations.items()} == {
        0: ["p"],
        1: ["q"],
    }


def test_output_operation_may_be_no_layer():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.ops.softmax(layers.Dense(2)(inputs)))
    [operation] = output_operations(model)[None]
    assert type(operation).__name__ == "Softmax"


def test_subclassed_model_has_no_output_operations():
    assert output_operations(Subclassed()) == {}


@pytest.mark.parametrize(
    ("outputs", "by_name"),
    [
        (7, {None: 7}),
        ([7, 8], {0: 7, 1: 8}),
        ((7,), {0: 7}),
        ({"a": 7}, {"a": 7}),
    ],
)
def test_outputs_by_name(outputs, by_name):
    assert outputs_by_name(outputs) == by_name


def test_output_key_of_a_list_is_the_index_of_its_layer():
    inputs = keras.Input((3,))
    outputs = [layers.Dense(1, name="p")(inputs), layers.ReLU(name="q")(inputs)]
    model = keras.Model(inputs, outputs)
    assert [output_key(model, name) for name in ("p", "q", 1)] == [0, 1, 1]


def test_output_key_of_a_dict_is_its_name_and_unknown_ones_are_refused():
    model = two_outputs()
    assert output_key(model, "left") == "left"
    assert output_key(model, None) is None
    with pytest.raises(
        ValueError, match=r"no output 'up'. Allowed: 'left', 'r"
    ):
        output_key(model, "up")


def test_output_key_of_a_subclassed_model_is_not_checked():
    assert output_key(Subclassed(), "anything") == "anything"
