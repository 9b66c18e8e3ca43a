"""What taps leave behind in the layers of a model: nothing."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kd_tf.distillation.taps import Tapped
from kd_tf.models.graph import named_layers
from tests.distillation.cases import (
    Failing,
    functional,
    images,
    same,
    seen,
    sequential,
)


def state_of(model):
    """What a tap might leave behind in the layers of a model."""
    return [
        (layer.output, len(layer._inbound_nodes), set(vars(layer)))
        for layer in named_layers(model).values()
    ]


def test_model_is_left_as_it_was():
    model = sequential(functional("backbone"))
    before = state_of(model)
    paths = list(named_layers(model))
    paths.remove("backbone/image")
    Tapped(model, paths)(images(), training=True)
    for (output, *old), (new_output, *new) in zip(
        before, state_of(model), strict=True
    ):
        assert new_output is output
        assert new == old
        assert "call" not in new[1]


def test_model_is_left_as_it_was_after_a_failure():
    failing = Failing()
    model = sequential(failing)
    tapped, failing.fails = Tapped(model, ["conv0", failing.name]), True
    before = state_of(model)
    with pytest.raises(RuntimeError, match="out of memory"):
        tapped(images(), training=False)
    assert [s[1:] for s in state_of(model)] == [s[1:] for s in before]
    failing.fails = False
    assert tapped(images(), training=False).activations["conv0"].shape == (
        2,
        6,
        6,
        3,
    )


def test_call_that_a_layer_had_of_its_own_is_put_back():
    model = sequential()
    layer = model.get_layer("conv0")
    own = vars(layer)["call"] = lambda x: 2.0 * x
    same(seen(model, "conv0", images()), 2 * images())
    assert vars(layer)["call"] is own


class Meeting(layers.Layer):
    """Waits until two threads are inside the model at once."""

    def __init__(self):
        super().__init__()
        self.barrier = None

    def call(self, x):
        if self.barrier is not None:
            self.barrier.wait(timeout=5)
        return x


@pytest.mark.parametrize("taps_each", ["shared", "own"])
def test_two_threads_at_once_each_see_their_own(taps_each):
    meeting = Meeting()
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.ReLU(name="early"),
            meeting,
            layers.ReLU(name="late"),
        ]
    )
    shared = Tapped(model, ["early", "late"])
    forward, meeting.barrier = {}, threading.Barrier(2)

    def run(number):
        tapped = shared
        if taps_each == "own":
            tapped = Tapped(model, ["early", "late"])
        for again in range(10):
            x = tf.fill((1, 2), float(10 * again + number))
            forward[number, again] = tapped(x, training=False).activations

    threads = [threading.Thread(target=run, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(forward) == 20
    for (number, again), activations in forward.items():
        for path in ("early", "late"):
            assert np.all(activations[path] == 10 * again + number)
    assert not any("call" in vars(layer) for layer in model.layers)


def test_tap_within_a_tap_sees_its_own():
    model = sequential()

    class Asking(layers.Layer):
        def call(self, x):
            return seen(model, "conv0", 2 * x)

    inputs = keras.Input((6, 6, 3))
    asking = Asking(name="asking")
    whole = keras.Model(inputs, asking(model.get_layer("conv0")(inputs)))
    x, conv = images(), model.get_layer("conv0")
    forward = Tapped(whole, ["conv0", "asking"])
    with pytest.raises(ValueError, match=r"'conv0' cannot be tapped.*2 calls"):
        forward(x, training=False)
    same(seen(whole, "asking", x), conv(2 * conv(x)))
    assert "call" not in vars(conv)
