import pytest
import tensorflow as tf

from kd_tf.distillation.epoch_means import EpochMeans


def test_means_weigh_batches_by_their_examples():
    means = EpochMeans(["a"])
    means.update({"a": tf.constant(1.0)}, num_examples=1)
    means.update({"a": tf.constant(5.0)}, num_examples=3)
    assert float(means.metrics["a"].result()) == pytest.approx((1 + 15) / 4)


def test_a_loss_that_appears_later_is_added_while_a_step_is_traced():
    means = EpochMeans(["a"])

    @tf.function
    def step():
        means.update({"b": tf.constant(2.0)}, num_examples=2)

    step()
    assert list(means.metrics) == ["a", "b"]
    assert float(means.metrics["b"].result()) == 2
