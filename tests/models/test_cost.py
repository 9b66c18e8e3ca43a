import keras
import pytest
from keras import layers

from kd_tf.models.cost import count_macs


def one(shape, layer):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


@pytest.mark.parametrize(
    ("shape", "layer", "macs"),
    [
        ((5,), layers.Dense(3), 5 * 3),
        ((7, 5), layers.Dense(3), 7 * 5 * 3),
        ((7, 5), layers.EinsumDense("abc,cde->abde", (7, 2, 4)), 7 * 5 * 8),
        ((7, 5), layers.EinsumDense("...c,cd->...d", 4), 7 * 5 * 4),
        ((9, 2), layers.Conv1D(3, 4), 6 * 4 * 2 * 3),
        ((9, 8, 2), layers.Conv2D(3, 3, padding="same"), 72 * 9 * 2 * 3),
        ((9, 8, 2), layers.Conv2D(3, 3, strides=2), 4 * 3 * 9 * 2 * 3),
        ((9, 8, 4), layers.Conv2D(6, 3, groups=2), 7 * 6 * 9 * 2 * 6),
        ((4, 4, 4, 2), layers.Conv3D(3, 2), 27 * 8 * 2 * 3),
        ((9, 8, 2), layers.DepthwiseConv2D(3), 7 * 6 * 9 * 2),
        (
            (9, 8, 2),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            7 * 6 * 9 * 4,
        ),
        ((9, 8, 2), layers.SeparableConv2D(5, 3), 7 * 6 * (9 * 2 + 2 * 5)),
        (
            (9, 8, 2),
            layers.Conv2DTranspose(3, 2, strides=2),
            9 * 8 * 4 * 2 * 3,
        ),
        ((7, 5), layers.GRU(4), 7 * 3 * 4 * (5 + 4)),
        ((7, 5), layers.LSTM(4), 7 * 4 * 4 * (5 + 4)),
        ((7, 5), layers.SimpleRNN(4), 7 * 4 * (5 + 4)),
        ((7, 5), layers.Bidirectional(layers.GRU(4)), 2 * 7 * 3 * 4 * 9),
        ((7,), layers.Embedding(100, 4), 0),
        ((9, 8, 2), layers.BatchNormalization(), 0),
        ((9, 8, 2), layers.LayerNormalization(axis=(1, 2, 3)), 0),
        ((9, 8, 2), layers.MaxPooling2D(), 0),
    ],
)
def test_multiply_accumulates_by_hand(shape, layer, macs):
    assert count_macs(one(shape, layer)) == macs


def test_attention_of_two_sequences():
    query, value = keras.Input((7, 5)), keras.Input((6, 3))
    attention = layers.MultiHeadAttention(2, key_dim=4, value_dim=8)
    model = keras.Model([query, value], attention(query, value))
    one_head = 7 * 5 * 4 + 6 * 3 * 4 + 6 * 3 * 8  # query, key and value
    one_head += 7 * 6 * (4 + 8) + 7 * 8 * 5  # scores, sums and output
    assert count_macs(model) == 2 * one_head


def test_attention_of_a_sequence_to_itself():
    inputs = keras.Input((7, 8))
    attention = layers.MultiHeadAttention(2, key_dim=4)
    model = keras.Model(inputs, attention(inputs, inputs))
    assert count_macs(model) == 4 * 7 * 8 * 8 + 2 * 7 * 7 * 8


def test_nested_models_are_opened():
    inner = keras.Sequential([layers.Input((5,)), layers.Dense(4)])
    nested = keras.Sequential([layers.Input((5,)), inner, layers.Dense(2)])
    assert count_macs(one((5,), nested)) == 5 * 4 + 4 * 2


def test_a_layer_called_twice_counts_twice_and_only_here():
    dense, first, second = layers.Dense(5), keras.Input((5,)), keras.Input((5,))
    model = keras.Model(first, dense(dense(first)))
    keras.Model(second, dense(second))
    assert count_macs(model) == 2 * 25


def test_a_layer_that_cannot_be_counted_is_refused():
    class Strange(layers.Layer):
        def build(self, shape):
            self.add_weight(shape=(5, 5))

        def call(self, x):
            return x

    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="Received: Strange"):
        count_macs(one((5,), Strange()))
    with pytest.raises(ValueError, match=r"fixed input shape. Received: "):
        count_macs(one((None, None, 3), layers.Conv2D(2, 3)))
    with pytest.raises(ValueError, match="no symbolic graph"):
        count_macs(Subclassed())
    with pytest.raises(ValueError, match="Received: Matmul"):
        count_macs(one((5, 5), lambda x: keras.ops.matmul(x, x)))
