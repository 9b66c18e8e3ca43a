import keras
import numpy as np
import pytest

from kd_tf.distillation.adapters import ShapeAdapter
from kd_tf.distillation.own_adapters import check_adapter, own_adapters

PAIR = (None, 4), (None, 6)
X, Y = np.ones((2, 4), "f"), np.ones((2, 6), "f")


class Doubling(keras.layers.Layer):
    """Both activations, and a weight of its own for the loss."""

    def __init__(self, width=6):
        super().__init__()
        self.dense = keras.layers.Dense(width, use_bias=False)

    def call(self, student, teacher, training=False):
        factor = 2.0 if training else 1.0
        return factor * self.dense(student), teacher, self.dense.kernel


def test_adapter_of_the_loss_stands_where_none_is_given():
    [adapter] = own_adapters(None, [PAIR], default=ShapeAdapter)
    assert isinstance(adapter, ShapeAdapter)


def test_none_leaves_activations_as_they_are():
    adapters = own_adapters("none", [PAIR, PAIR], default=ShapeAdapter)
    assert len(adapters) == 2
    half = X.astype("float16")
    student, teacher = adapters[0](half, Y, training=True)
    assert student.dtype == "float16"
    np.testing.assert_array_equal(student, half)
    np.testing.assert_array_equal(teacher, Y)
    assert adapters[0].variables == []


def test_layer_gets_both_and_returns_what_the_loss_takes():
    [adapter] = own_adapters(Doubling(), [PAIR], default=ShapeAdapter)
    # Its weights are there before the first step.
    assert [tuple(v.shape) for v in adapter.trainable_variables] == [(4, 6)]
    student, teacher, kernel = adapter(X, Y, training=True)
    np.testing.assert_allclose(student, 2 * X @ np.array(kernel), rtol=1e-5)
    np.testing.assert_array_equal(teacher, Y)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.Dense(6),
        lambda: keras.Sequential([keras.layers.Dense(6)]),
    ],
)
def test_layer_of_one_input_is_applied_to_the_student(layer):
    layer = layer()
    [adapter] = own_adapters(layer, [PAIR], default=ShapeAdapter)
    student, teacher = adapter(X, Y, training=True)
    np.testing.assert_allclose(student, layer(X), rtol=1e-6)
    np.testing.assert_array_equal(teacher, Y)
    assert len(adapter.trainable_variables) == 2


def test_function_of_the_shapes_makes_one_for_each_pair():
    def make(student_shape, teacher_shape):
        return keras.layers.Dense(teacher_shape[-1])

    pairs = [PAIR, ((None, 4), (None, 3))]
    adapters = own_adapters(make, pairs, default=ShapeAdapter)
    assert [a(X, Y)[0].shape[-1] for a in adapters] == [6, 3]
    given = own_adapters(
        [Doubling(6), Doubling(3)], pairs, default=ShapeAdapter
    )
    assert [a(X, Y)[0].shape[-1] for a in given] == [6, 3]


def wrong(student, teacher):
    return None


class Single(keras.layers.Layer):
    def call(self, student, teacher, training=False):
        return student


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (3, "`adapter` must be None, 'none'.*adapter=3"),
        ("nothing", "`adapter` must be None, 'none'.*adapter='nothing'"),
        ([], r"`adapter` must be.*adapter=\[\]"),
        ([Doubling(), Doubling()], "one adapter for each of 1 layer pairs"),
        (wrong, "must be a Keras layer.*None"),
        (Single(), r"must return the leading arguments.*KerasTensor"),
        (keras.layers.Conv2D(3, 1), r"does not take these activations as"),
    ],
)
def test_what_is_no_adapter_is_refused(adapter, message):
    with pytest.raises(ValueError, match=message):
        own_adapters(adapter, [PAIR], default=ShapeAdapter)


def test_check_adapter_takes_what_could_be_one():
    for adapter in (None, "none", Doubling(), Doubling, [Doubling()]):
        check_adapter(adapter)
