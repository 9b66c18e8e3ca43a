import keras
import numpy as np
import pytest

from tests.models.cases import build, examples


@pytest.mark.parametrize("upsampling", ["transposed", "nearest", "bilinear"])
@pytest.mark.parametrize("separable", [False, True])
def test_every_variant_outputs_logits_for_each_pixel(upsampling, separable):
    model = build(
        "unet", (8, 12, 3), depth=2, upsampling=upsampling, separable=separable
    )
    assert model.output_shape == (None, 8, 12, 2)
    # Layer pairs of two variants rely on the names that they share.
    assert model.get_layer("up_2_second_relu").output.shape[1:3] == (4, 6)


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_a_1x1_convolution_may_come_before_upsampling(upsampling):
    x = examples("unet", 1, (4, 4, 3))
    narrow = keras.layers.Conv2D(2, 1, bias_initializer="random_normal")
    enlarge = keras.layers.UpSampling2D(2, interpolation=upsampling)
    np.testing.assert_allclose(
        enlarge(narrow(x)), narrow(enlarge(x)), rtol=1e-4, atol=1e-5
    )
