import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation.reduction import check_values, reduce_losses

VALUES = np.array([1.0, 2.0, 6.0], "f")
OUTPUTS = tf.zeros((3, 4))


def reduced(loss, sample_weight=None, outputs=OUTPUTS):
    return float(
        reduce_losses(
            {"mine": loss}, outputs=outputs, sample_weight=sample_weight
        )["mine"]
    )


def test_values_of_examples_become_their_weighted_mean():
    assert reduced(VALUES) == 3
    # As Keras does, over the number of examples, not the sum of weights.
    assert reduced(VALUES, tf.constant([1.0, 0, 2])) == pytest.approx(13 / 3)


def test_a_scalar_is_weighted_already():
    assert reduced(2.5, tf.constant([1.0, 0, 2])) == 2.5
    assert reduced(tf.constant(2.5, "float16")) == 2.5


def test_further_axes_count_alike():
    pixels = np.arange(6, dtype="f").reshape(3, 2)
    assert reduced(pixels) == 2.5
    by_hand = (1 * 0.5 + 2 * 4.5) / 3
    assert reduced(pixels, tf.constant([1.0, 0, 2])) == pytest.approx(by_hand)
    weights = tf.constant([[1.0, 1], [0, 0], [0, 2]])
    assert reduced(pixels, weights) == pytest.approx((0 + 1 + 10) / 6)


def masked():
    """Outputs (3, 2, 4) whose second step is padding in two examples."""
    x = tf.constant([[[1.0], [1]], [[1], [0]], [[1], [0]]])
    return keras.layers.Dense(4)(keras.layers.Masking()(x))


@pytest.mark.parametrize("extra", [(), (4,)])
def test_the_mask_of_the_output_leaves_steps_out(extra):
    steps = np.array([[1, 2], [3, 90], [4, 90]], "f")
    inner = [1] * len(extra)
    loss = np.broadcast_to(steps.reshape(3, 2, *inner), (3, 2, *extra))
    outputs = masked()
    assert reduced(loss, outputs=outputs) == pytest.approx(10 / 4)
    # Between whole examples it says nothing.
    assert reduced(VALUES, outputs=outputs) == 3
    assert reduced(np.ones((3, 5), "f"), outputs=outputs) == 1


def test_weights_of_single_outputs_do_not_apply():
    outputs = [OUTPUTS, OUTPUTS]
    weights = [tf.zeros(3), tf.ones(3)]
    assert reduced(VALUES, weights, outputs) == 3
    assert reduced(VALUES, tf.constant([1.0, 0, 2]), outputs) == pytest.approx(
        13 / 3
    )
    assert reduced(VALUES, [tf.zeros(3)]) == 0


@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 3), (2,)])
def test_what_is_no_value_an_example_is_refused(shape):
    with pytest.raises(ValueError, match="'mine' must give one value an") as e:
        reduced(np.zeros(shape, "f"))
    assert f"Received: shape {shape}" in str(e.value)


def test_a_mean_over_the_batch_is_seen_where_its_length_is_unknown():
    @tf.function(input_signature=[tf.TensorSpec((None, 4))])
    def mean(x):
        check_values("mine", tf.reduce_sum(x, axis=-1), x)
        check_values("mine", tf.reduce_mean(x, axis=0), x)

    with pytest.raises(ValueError, match=r"Received: shape \(4,\)"):
        mean(OUTPUTS)


def test_a_loss_without_a_value_is_refused():
    with pytest.raises(ValueError, match=r"has no value.* Received: None"):
        reduced(None)
