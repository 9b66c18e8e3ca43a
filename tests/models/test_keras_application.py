import keras
import numpy as np
import pytest

from kd_tf.models.keras_application import _renamed
from tests.models.cases import build, examples


def test_a_renamed_backbone_has_the_same_outputs():
    keras.applications.MobileNetV3Small(weights=None)  # moves Keras's count
    model = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    renamed, x = _renamed(model), examples("cnn", 2, (32, 32, 3))
    np.testing.assert_array_equal(model(x), renamed(x))
    assert renamed.get_layer("re_lu_1")
    assert renamed.get_layer("conv_bn")


def test_a_download_that_fails_is_reported_with_alternatives(monkeypatch):
    def fails(**arguments):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fails)
    with pytest.raises(ValueError, match=r"path of a file, or to None. .*URL"):
        build("keras_application", backbone="MobileNetV2", weights="imagenet")
