import numpy as np

from kd_tf.data.sources.scikit_learn import diabetes_source, digits_source
from kd_tf.data.sources.source import CLASS_NUMBER, ArraySpec
from tests.data.hand_made import read_all


def test_digits_are_the_bundled_scans():
    source = digits_source()
    x, y = read_all(source.train)
    assert source.example == ArraySpec((8, 8, 1), "uint8")
    assert (x.shape, x.dtype, x.max()) == ((1797, 8, 8, 1), np.uint8, 16)
    assert (source.target, source.task) == (CLASS_NUMBER, "classification")
    assert source.class_names == [str(digit) for digit in range(10)]
    assert list(y[:10]) == list(range(10))
    assert source.test is None


def test_diabetes_is_the_bundled_study():
    source = diabetes_source()
    x, y = read_all(source.train)
    assert source.example == ArraySpec((10,), "float32")
    assert (x.shape, x.dtype) == ((442, 10), np.float32)
    assert (source.target, source.task) == (
        ArraySpec((1,), "float32"),
        "regression",
    )
    # Measured in their own units: years of age, and a score from 25 to 346.
    assert (x[:, 0].min(), x[:, 0].max()) == (19, 79)
    assert (y.min(), y.max()) == (25, 346)
    assert source.class_names == ["progression"]
    assert source.test is None
