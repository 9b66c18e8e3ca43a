import keras
import pytest

from kd_tf.models.blocks import conv_block, separable_block

SHARED = ["x_conv", "x_norm", "x_relu"]


@pytest.mark.parametrize(
    ("block", "names", "kernels"),
    [
        (conv_block, SHARED, 3 * 5 * 4 * 6),
        (
            separable_block,
            ["x_depthwise", "x_depthwise_norm", "x_depthwise_relu", *SHARED],
            3 * 5 * 4 + 4 * 4 + 4 * 6,  # normalization in between
        ),
    ],
)
def test_names_shape_and_weights_by_hand(block, names, kernels):
    inputs = keras.Input((8, 9, 4))
    outputs = block(inputs, 6, name="x", size=(3, 5), strides=(2, 3))
    model = keras.Model(inputs, outputs)
    assert [layer.name for layer in model.layers[1:]] == names
    assert outputs.shape == (None, 4, 3, 6)
    assert model.count_params() == kernels + 4 * 6
