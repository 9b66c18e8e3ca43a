"""Masks hold under everything that Keras trains with."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from kd_tf.compression.magnitude import MagnitudePruning
from kd_tf.compression.masking import KeepZeros

layers = keras.layers
X = np.random.default_rng(0).normal(size=(32, 8)).astype("f")
Y = np.arange(32) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
EMA = {"use_ema": True, "ema_momentum": 0.5}


def new_model(dtype=None, constraint=None):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, dtype=dtype, kernel_constraint=constraint),
            layers.Dense(3, dtype=dtype),
        ]
    )


def compiled(model, *, how=None, **options):
    model.compile(keras.optimizers.Adam(0.01, **options), LOSS, **(how or {}))
    return model


def fit(model, *callbacks, epochs=4, **options):
    """Four steps an epoch."""
    model.fit(
        X,
        Y,
        batch_size=8,
        epochs=epochs,
        callbacks=list(callbacks),
        shuffle=False,
        verbose=0,
        **options,
    )


def zeros(model):
    return [float(np.mean(np.array(x.kernel) == 0)) for x in model.layers]


def prune(model, ramp_steps=8, **options):
    """The model after a ramp to 0.5 and as many steps again."""
    pruning = MagnitudePruning(model, sparsity=0.5, ramp_steps=ramp_steps)
    fit(model, pruning, **options)
    return pruning


@pytest.mark.parametrize(
    "options",
    [
        EMA,
        {**EMA, "ema_overwrite_frequency": 2},
        {"gradient_accumulation_steps": 2},
        {"weight_decay": 0.1},
        {"how": {"jit_compile": True}},
        {"how": {"run_eagerly": True}},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_the_sparsity_is_reached_under_every_optimizer(options):
    model = compiled(new_model(), **options)
    prune(model)
    assert zeros(model) == [0.5, 0.5]


@pytest.mark.parametrize("options", [{}, EMA])
def test_the_sparsity_is_reached_in_mixed_precision(options):
    model = compiled(new_model("mixed_float16"), **options)
    prune(model)
    assert zeros(model) == [0.5, 0.5]


@pytest.mark.parametrize("is_first", [True, False])
def test_averages_that_are_evaluated_and_kept_are_masked(is_first):
    model = compiled(new_model(), **EMA)
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    pruning = MagnitudePruning(model, sparsity=0.5, ramp_steps=8)
    callbacks = [pruning, swap] if is_first else [swap, pruning]
    kept = []
    last = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(zeros(model))
    )
    fit(model, *callbacks, last, epochs=3)
    assert kept[1:] == [[0.5, 0.5], [0.5, 0.5]]
    assert zeros(model) == [0.5, 0.5]


def test_averages_are_those_of_masked_weights():
    # An average with momentum 0 is the last weight, whose mask is final.
    model = compiled(new_model(), use_ema=True, ema_momentum=0.0)
    plain = compiled(new_model())
    prune(model), prune(plain)
    for a, b in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_several_steps_at_once_train_as_one_by_one():
    models = [
        compiled(new_model(), how={"steps_per_execution": steps})
        for steps in (1, 4)
    ]
    for model in models:
        prune(model, ramp_steps=6)
    for a, b in zip(*(model.weights for model in models), strict=True):
        np.testing.assert_array_equal(a, b)


def test_masks_hold_through_a_recompilation():
    model = compiled(new_model())
    prune(model)
    masks = [np.array(layer.kernel) == 0 for layer in model.layers]
    model.compile(keras.optimizers.SGD(0.1), LOSS)
    fit(model)  # without the callback
    for mask, layer in zip(masks, model.layers, strict=True):
        np.testing.assert_array_equal(np.array(layer.kernel) == 0, mask)


def test_a_recompilation_does_not_move_the_ramp():
    model = compiled(new_model())
    pruning = MagnitudePruning(model, sparsity=0.5, ramp_steps=8)
    with pytest.warns(UserWarning, match="after 4 of the 8 steps"):
        fit(model, pruning, epochs=1)
    fit(compiled(model), pruning, epochs=1)
    assert zeros(model) == [0.5, 0.5]


def test_the_ramp_begins_with_the_callback_on_a_warm_optimizer():
    model = compiled(new_model())
    fit(model)  # 16 steps, more than the ramp
    pruning = MagnitudePruning(model, sparsity=0.5, ramp_steps=8)
    with pytest.warns(UserWarning, match="after 4 of the 8 steps"):
        fit(model, pruning, epochs=1)
    by_hand = 0.5 * (1 - (1 - 4 / 8) ** 3)
    assert float(pruning.schedule(4)) == pytest.approx(by_hand)
    assert zeros(model)[0] == pytest.approx(by_hand, abs=0.5 / 128)
    fit(model, pruning, epochs=1)
    assert zeros(model) == [0.5, 0.5]


def test_a_training_shorter_than_the_ramp_is_reported():
    model = compiled(new_model())
    pruning = MagnitudePruning(model, sparsity=0.5, ramp_steps=100)
    with pytest.warns(
        UserWarning,
        match=r"sparsity of 0.0\d+ instead of 0.5, after 4 of the 100 steps "
        r".*Fit on.*Received: .*kernel after 4 steps",
    ):
        fit(model, pruning, epochs=1)


@pytest.mark.parametrize("is_first", [True, False])
def test_weights_restored_from_within_the_ramp_are_masked(is_first):
    model = compiled(new_model(), how={"metrics": ["accuracy"]})
    # Whatever the accuracy, the first epoch is the best.
    stop = keras.callbacks.EarlyStopping(
        "accuracy", mode="min", baseline=-1, restore_best_weights=True
    )
    stop._is_improvement = lambda monitor, reference: reference is None
    stop.patience = 99
    pruning = MagnitudePruning(model, sparsity=0.5, ramp_steps=8)
    with pytest.warns(UserWarning, match="masked without recovery.*Received"):
        fit(model, *([pruning, stop] if is_first else [stop, pruning]))
    assert stop.best_epoch == 0
    assert zeros(model) == [0.5, 0.5]


def test_released_weights_grow_back_and_a_new_ramp_may_begin():
    model = compiled(new_model(constraint="max_norm"))
    former = model.layers[0].kernel.constraint
    pruning = prune(model)
    pruning.release()
    fit(model, epochs=1)
    assert max(zeros(model)) < 0.1
    assert model.layers[0].kernel.constraint is former
    assert model.layers[1].kernel.constraint is None
    fit(model, pruning)
    assert zeros(model) == [0.5, 0.5]


def test_constraints_of_a_layer_stay_in_force():
    model = compiled(new_model(constraint="non_neg"))
    prune(model)
    kernel = np.array(model.layers[0].kernel)
    assert kernel.min() == 0 < kernel.max()
    assert zeros(model)[0] >= 0.5


def test_further_pruning_lets_nothing_grow_back():
    model = compiled(new_model())
    first = prune(model)
    masks = [np.array(mask) for mask in first.masks]
    second = MagnitudePruning(model, sparsity=0.75, ramp_steps=4)
    fit(model, second, epochs=2)
    assert zeros(model) == [0.75, 0.75]
    for layer, mask in zip(model.layers, masks, strict=True):
        assert not np.any(np.array(layer.kernel)[mask == 0])
    first.release()
    fit(compiled(model), epochs=1)
    assert zeros(model) == [0.75, 0.75]
    second.release()
    assert model.layers[0].kernel.constraint is None


def test_a_ramp_is_resumed_from_its_variables():
    whole, halved, resumed = (compiled(new_model()) for _ in range(3))
    prune(whole, epochs=2)
    first = MagnitudePruning(halved, sparsity=0.5, ramp_steps=8)
    with pytest.warns(UserWarning, match="after 4 of"):
        fit(halved, first, epochs=1)
    second = MagnitudePruning(resumed, sparsity=0.5, ramp_steps=8)
    resumed.optimizer.build(resumed.trainable_variables)
    for old, new in (
        (first.variables, second.variables),
        (halved.variables, resumed.variables),
        (halved.optimizer.variables, resumed.optimizer.variables),
    ):
        for a, b in zip(old, new, strict=True):
            b.assign(a)
    fit(resumed, second, epochs=1)
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_loaded_model_keeps_its_zeros_while_it_is_tuned(tmp_path):
    model = compiled(new_model())
    prune(model)
    model.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    assert loaded.layers[0].kernel.constraint is None
    before = np.array(loaded.layers[0].kernel)
    keep = KeepZeros(compiled(loaded, **EMA))
    fit(loaded, keep)
    assert zeros(loaded) == [0.5, 0.5]
    after = np.array(loaded.layers[0].kernel)
    np.testing.assert_array_equal(before == 0, after == 0)
    assert not np.array_equal(before, after)


def test_zeros_that_there_are_not_cannot_be_kept():
    model = new_model()
    model.layers[1].kernel.assign(np.zeros((16, 3)))
    with pytest.raises(
        ValueError, match=r"no zeros to keep.*Received: 2 train"
    ):
        KeepZeros(model)


TWO_REPLICAS = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
from kd_tf.compression.magnitude import MagnitudePruning

for dtype, use_ema in ((None, False), ("mixed_float16", True)):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        model = keras.Sequential(
            [keras.Input((8,)), keras.layers.Dense(16, dtype=dtype)]
        )
        model.compile(keras.optimizers.Adam(use_ema=use_ema), "mse")
    pruning = MagnitudePruning(model, sparsity=0.5, ramp_steps=8)
    x, y = np.ones((32, 8), "f"), np.ones((32, 16), "f")
    model.fit(x, y, batch_size=8, epochs=3, callbacks=[pruning], verbose=0)
    assert np.mean(np.array(model.layers[0].kernel) == 0) == 0.5
    [steps] = pruning.variables[1:]
    assert int(steps.numpy()) == 12, steps
    for replica in strategy.experimental_local_results(
        model.layers[0].kernel.value
    ):
        assert np.mean(replica.numpy() == 0) == 0.5
"""


def test_two_replicas_are_pruned_alike():
    subprocess.run([sys.executable, "-c", TWO_REPLICAS], check=True)
