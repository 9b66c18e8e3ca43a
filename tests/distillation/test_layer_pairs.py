import keras
import numpy as np
import pytest
from keras import layers

from kd_tf import build_model
from kd_tf.distillation.layer_pairs import propose_pairs
from kd_tf.distillation.taps import activation_shapes


def cnn(filters, size=8, hidden=0):
    return build_model(
        "cnn",
        (size, size, 3),
        5,
        filters=filters,
        hidden=hidden,
        dropout=0.1,
    )


def mlp(hidden):
    return build_model("mlp", (6,), 3, hidden=hidden, dropout=0.1)


def u_net(width, num_convolutions):
    """Two stages down, a bottom, two stages up with what was seen before."""

    def block(x, name):
        for i in range(1, num_convolutions + 1):
            x = layers.Conv2D(
                width, 3, padding="same", activation="relu", name=f"{name}_{i}"
            )(x)
        return x

    def up(x, skipped, name):
        x = layers.UpSampling2D(name=f"{name}_grow")(x)
        x = layers.Concatenate(name=f"{name}_join")([x, skipped])
        return block(x, name)

    inputs = keras.Input((16, 16, 1))
    down_1 = block(inputs, "down_1")
    down_2 = block(layers.MaxPooling2D(name="pool_1")(down_1), "down_2")
    bottom = block(layers.MaxPooling2D(name="pool_2")(down_2), "bottom")
    up_2 = up(bottom, down_2, "up_2")
    up_1 = up(up_2, down_1, "up_1")
    return keras.Model(inputs, layers.Conv2D(2, 1, name="logits")(up_1))


def of_any_size(num_stages):
    inputs = x = keras.Input((None, None, 3))
    for i in range(1, num_stages + 1):
        x = layers.Conv2D(
            4, 3, strides=2, padding="same", activation="relu", name=f"conv_{i}"
        )(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x))


def test_stages_of_two_cnns_pair_by_resolution():
    # 8x8, 4x4 and the averages; the teacher's 2x2 is left over.
    assert propose_pairs(cnn([4, 8]), cnn([8, 8, 16])) == [
        ("relu_1", "relu_1"),
        ("relu_2", "relu_2"),
        ("average", "average"),
    ]


def test_resolution_is_relative_to_the_inputs():
    # The teacher halves twice as late, on inputs twice as large.
    assert propose_pairs(cnn([4, 8], 8), cnn([8, 16], 16)) == [
        ("relu_1", "relu_1"),
        ("relu_2", "relu_2"),
        ("average", "average"),
    ]


def test_hidden_layer_pairs_with_hidden_layer():
    pairs = propose_pairs(cnn([4], hidden=6), cnn([8], hidden=12))
    assert pairs == [("relu_1", "relu_1"), ("hidden", "hidden")]


def test_last_hidden_layers_of_two_mlps_pair():
    assert propose_pairs(mlp([4]), mlp([16, 8])) == [("dense_1", "dense_2")]


def test_vectors_are_left_out_where_a_grid_is_needed():
    pairs = propose_pairs(cnn([4, 8]), cnn([8, 16]), with_grid=True)
    assert pairs == [("relu_1", "relu_1"), ("relu_2", "relu_2")]


@pytest.mark.parametrize(("student", "teacher"), [(1, 2), (2, 1), (1, 3)])
def test_way_down_pairs_with_way_down_and_up_with_up(student, teacher):
    pairs = propose_pairs(u_net(2, student), u_net(4, teacher))
    stages = ["down_1", "down_2", "bottom", "up_2", "up_1"]
    assert pairs == [(f"{s}_{student}", f"{s}_{teacher}") for s in stages]


def test_layers_of_a_nested_teacher_are_named_by_path():
    inner = cnn([8, 16])
    teacher = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Rescaling(2.0), inner]
    )
    assert propose_pairs(cnn([4, 8]), teacher) == [
        ("relu_1", "cnn/relu_1"),
        ("relu_2", "cnn/relu_2"),
        ("average", "cnn/average"),
    ]


def test_models_for_inputs_of_any_size_pair():
    assert propose_pairs(of_any_size(2), of_any_size(3)) == [
        ("conv_1", "conv_1"),
        ("conv_2", "conv_2"),
        ("average", "average"),
    ]


def test_model_for_any_size_pairs_with_one_for_a_single_size():
    assert propose_pairs(of_any_size(2), cnn([4, 4, 4], size=32)) == [
        ("conv_1", "relu_2"),
        ("conv_2", "relu_3"),
        ("average", "average"),
    ]


@pytest.mark.parametrize("nested", [False, True])
def test_output_layer_is_never_proposed(nested):
    def model():
        head = keras.Sequential(
            [keras.Input((4,)), layers.Dense(3, name="logits")], name="head"
        )
        if not nested:
            head = layers.Dense(3, name="logits")
        inputs = keras.Input((6,))
        hidden = layers.Dense(4, name="hidden")(inputs)
        return keras.Model(inputs, head(hidden))

    assert propose_pairs(model(), model()) == [("hidden", "hidden")]


def test_no_output_of_several_is_proposed():
    def model():
        inputs = keras.Input((6,))
        hidden = layers.Dense(4, name="hidden")(inputs)
        outputs = {k: layers.Dense(3, name=k)(hidden) for k in ("a", "b")}
        return keras.Model(inputs, outputs)

    assert propose_pairs(model(), model()) == [("hidden", "hidden")]


def linear():
    return keras.Sequential([keras.Input((6,)), layers.Dense(3)], name="linear")


@pytest.mark.parametrize(
    ("student", "teacher", "with_grid"),
    [
        (linear(), mlp([4]), False),
        (mlp([4]), linear(), False),
        (mlp([4]), mlp([4]), True),
    ],
    ids=["student of one layer", "teacher of one layer", "no grid"],
)
def test_nothing_to_pair_is_refused(student, teacher, with_grid):
    with pytest.raises(
        ValueError, match=r"No layers of .* can be paired"
    ) as raised:
        propose_pairs(student, teacher, with_grid=with_grid)
    assert f"'{student.name}' and '{teacher.name}'" in str(raised.value)
    assert "Name them: [(student layer, teacher" in str(raised.value)


@pytest.fixture(scope="module")
def mobile_net():
    return keras.applications.MobileNetV2(
        weights=None,
        input_shape=(32, 32, 3),
        classes=5,
        classifier_activation=None,
    )


def test_network_from_the_zoo_teaches_a_small_one(mobile_net):
    # Its largest grid is 16x16: for the student's 32x32 nothing is left.
    student = cnn([4, 8, 8], size=32)
    pairs = propose_pairs(student, mobile_net)
    assert [s for s, _ in pairs] == ["relu_2", "relu_3", "average"]
    grids = activation_shapes(mobile_net, [t for _, t in pairs])
    sides = [grids[t][1:-1] for _, t in pairs]
    assert sides == [(16, 16), (8, 8), ()]


def test_padding_has_nothing_to_teach(mobile_net):
    [(_, taught_by), _] = propose_pairs(cnn([4], size=32), mobile_net)
    assert activation_shapes(mobile_net, [taught_by]) == {
        taught_by: (None, 16, 16, 96)
    }


def test_pairs_do_not_cross():
    # The stem of the teacher leaves a fourth of the grid: 8x8, 4x4, 2x2.
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(4, 7, strides=4, padding="same", name="stem")(inputs)
    for i in (1, 2):
        x = layers.Conv2D(4, 3, strides=2, padding="same", name=f"conv_{i}")(x)
    x = layers.Dense(5)(layers.GlobalAveragePooling2D(name="average")(x))
    student = cnn([4, 8, 8], size=32)  # 32x32, 16x16, 8x8
    assert propose_pairs(student, keras.Model(inputs, x)) == [
        ("relu_3", "stem"),
        ("average", "average"),
    ]


def test_pairs_are_always_the_same(mobile_net):
    student = cnn([4, 8, 8], size=32)
    first = propose_pairs(student, mobile_net)
    assert propose_pairs(student, mobile_net) == first


def test_pairing_leaves_the_models_as_they_were():
    models = cnn([4, 8]), cnn([8, 8])
    before = [v.numpy() for model in models for v in model.variables]
    propose_pairs(*models)
    after = [v for model in models for v in model.variables]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    for model in models:
        assert not any("call" in vars(layer) for layer in model.layers)


def gated(name, widths):
    """Blocks with squeeze-and-excitation gates, as MobileNetV3 has them."""
    x = inputs = keras.Input((16, 16, 1))
    for i, width in enumerate(widths, start=1):
        x = layers.Conv2D(width, 3, 2, "same", name=f"conv_{i}")(x)
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        gate = layers.Conv2D(width, 1, name=f"gate_{i}")(gate)
        x = layers.Multiply(name=f"gated_{i}")([x, gate])
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = layers.Conv2D(3, 1, name="logits")(x)
    return keras.Model(inputs, layers.Flatten()(x), name=name)


def test_gates_are_no_stages_and_reshaped_outputs_are_outputs():
    pairs = propose_pairs(gated("student", [2, 4]), gated("teacher", [3, 6]))
    assert pairs == [
        ("gated_1", "gated_1"),
        ("gated_2", "gated_2"),
        ("pool", "pool"),
    ]


def test_models_without_a_graph_are_refused_with_paths_to_name():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [layers.Dense(2), layers.Dense(3)]

        def call(self, x):
            return self.blocks[1](self.blocks[0](x))

    for models in ((Subclassed(), mlp([4])), (mlp([4]), Subclassed())):
        with pytest.raises(
            ValueError, match=r"cannot be paired automatically.*Name the pairs"
        ) as raised:
            propose_pairs(*models)
        assert "such as blocks/0, blocks/1" in str(raised.value)
        assert "Received: pairs='auto', Subclassed" in str(raised.value)


def test_sequential_model_without_inputs_is_refused():
    model = keras.Sequential([layers.Dense(2, name="hidden"), layers.Dense(3)])
    with pytest.raises(ValueError, match=r"built on their inputs.*Sequential"):
        propose_pairs(mlp([4]), model)


def test_channels_first_are_refused():
    inputs = keras.Input((3, 8, 8))
    x = layers.Conv2D(4, 3, data_format="channels_first", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(x)
    model = keras.Model(inputs, layers.Dense(5)(x))
    with pytest.raises(ValueError, match="'conv' returns its channels first"):
        propose_pairs(model, cnn([4]))
