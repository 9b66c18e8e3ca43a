import os

import keras
import numpy as np
import pytest

from kd_tf import Distiller, MagnitudePruning
from kd_tf.compression.magnitude import prune_by_magnitude
from kd_tf.schedules import record_schedule
from tests.compression.recoveries import Fit

layers = keras.layers
X = np.random.default_rng(0).normal(size=(40, 8, 8, 1)).astype("f")
Y = np.arange(40) % 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def new_model(seed=1):
    keras.utils.set_random_seed(seed)
    inner = keras.Sequential(
        [keras.Input((8, 8, 4)), layers.Conv2D(6, 3, name="nested")],
        name="inner",
    )
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            inner,
            layers.Flatten(),
            layers.Dense(3, name="logits"),
        ]
    )


def train(trainer, pruning, epochs=3, **options):
    trainer.compile("adam", LOSS, **options)
    trainer.fit(
        X, Y, batch_size=8, epochs=epochs, callbacks=[pruning], verbose=0
    )


def zeros(layer):
    return float(np.mean(np.array(layer.kernel) == 0))


def kernels(model):
    inner = model.get_layer("inner").get_layer("nested")
    return [model.get_layer("conv"), inner, model.get_layer("logits")]


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_every_kernel_reaches_its_sparsity(sparsity, steps_per_execution):
    model = new_model()
    pruning = MagnitudePruning(model, sparsity=sparsity, ramp_steps=7)
    train(model, pruning, steps_per_execution=steps_per_execution)
    for layer in kernels(model):
        size = np.size(layer.kernel)
        assert zeros(layer) == pytest.approx(sparsity, abs=0.5 / size + 1e-9)


@pytest.mark.parametrize("ramp_steps", [1, 2, 3, 49, 50, 51, 99, 101, 130])
def test_last_update_falls_inside_the_ramp(ramp_steps):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(10)])
    pruning = MagnitudePruning(model, sparsity=0.8, ramp_steps=ramp_steps)
    model.compile(keras.optimizers.SGD(0.1), LOSS)
    x, y = np.ones((ramp_steps, 4), "f"), np.zeros(ramp_steps)
    model.fit(x, y, batch_size=1, verbose=0, callbacks=[pruning])
    assert zeros(model.layers[0]) == pytest.approx(0.8)


def test_the_smallest_weights_become_zero():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    model.layers[0].kernel.assign([[1, -2, 3], [-4, 5, -6]])
    pruning = MagnitudePruning(model, sparsity=0.5, ramp_steps=1)
    model.compile(keras.optimizers.SGD(0.0), LOSS)
    model.fit(np.ones((1, 2)), np.zeros(1), callbacks=[pruning], verbose=0)
    np.testing.assert_array_equal(
        model.layers[0].kernel, [[0, 0, 0], [-4, 5, -6]]
    )


def test_masks_hold_while_the_student_learns_under_its_teacher():
    student, teacher = new_model(), new_model(2)
    distiller = Distiller(student, teacher, student_weight=0.5)
    pruning = MagnitudePruning(student, sparsity=0.5, ramp_steps=5)
    train(distiller, pruning, epochs=1)
    first = [np.array(layer.kernel) for layer in kernels(student)]
    distiller.fit(X, Y, batch_size=8, epochs=2, callbacks=[pruning], verbose=0)
    for before, layer in zip(first, kernels(student), strict=True):
        after = np.array(layer.kernel)
        np.testing.assert_array_equal(after == 0, before == 0)
        assert not np.array_equal(after, before)


def test_record_accounts_for_every_weight():
    model = new_model()
    model.get_layer("inner").trainable = False
    pruning = MagnitudePruning(model, sparsity=0.5, ramp_steps=2, skip=["conv"])
    train(model, pruning)
    record = pruning.record()
    rows = {
        row.layer.removeprefix(f"{model.name}/"): row for row in record.layers
    }
    assert sum(row.weights for row in record.layers) == model.count_params()
    assert {name: row.skipped for name, row in rows.items()} == {
        "conv": "named in skip",
        "norm": "BatchNormalization is not pruned",
        "depthwise": "DepthwiseConv2D is not pruned",
        "inner/nested": "frozen",
        "logits": None,
    }
    assert rows["logits"].kernel_sparsity == pytest.approx(0.5)
    assert rows["conv"].kernel_sparsity is None
    all_zeros = sum(int(np.sum(np.array(w) == 0)) for w in model.weights)
    assert record.sparsity == all_zeros / model.count_params()
    assert sum(row.zeros for row in record.layers) == all_zeros


def test_saved_model_is_plain_and_outputs_the_same(tmp_path):
    model = new_model()
    train(model, MagnitudePruning(model, sparsity=0.5, ramp_steps=2))
    model.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    assert len(loaded.variables) == len(model.variables)
    np.testing.assert_array_equal(loaded(X), model(X))


def test_second_application_changes_nothing():
    model = new_model()
    train(model, MagnitudePruning(model, sparsity=0.5, ramp_steps=2))
    before = [np.array(layer.kernel) for layer in kernels(model)]
    model.compile(keras.optimizers.SGD(0.0), LOSS)
    again = MagnitudePruning(model, sparsity=0.5, ramp_steps=2)
    model.fit(X, Y, epochs=2, callbacks=[again], verbose=0)
    for old, layer in zip(before, kernels(model), strict=True):
        np.testing.assert_array_equal(old, layer.kernel)


def test_importing_tfmot_leaves_keras_as_it_was():
    assert "TF_USE_LEGACY_KERAS" not in os.environ


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": 1.0}, r"`sparsity` must be in \[0, 1\). Received"),
        ({"sparsity": float("nan")}, "sparsity=nan"),
        ({"ramp_steps": 0}, "`ramp_steps` must be at least 1. Received"),
        (
            {"skip": ["cnov"]},
            r"no layer with a kernel: cnov. Allowed: conv, logits, nested. "
            r"Received: skip=\['cnov'\]",
        ),
        (
            {"skip": ["conv", "nested", "logits"]},
            "nothing to prune. The model needs",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    options = {"sparsity": 0.5, "ramp_steps": 2, **arguments}
    with pytest.raises(ValueError, match=message):
        MagnitudePruning(new_model(), **options)


@pytest.mark.parametrize("ramp_steps", [4, 130])
def test_schedule_is_the_cubic_of_the_paper(ramp_steps):
    model = new_model()
    pruning = MagnitudePruning(model, sparsity=0.8, ramp_steps=ramp_steps)
    # Of 130 steps masks are updated at every second.
    shares = np.array([0, 0.25, 0.5, 1, 2])
    values = [float(pruning.schedule(s)) for s in shares * ramp_steps]
    by_hand = 0.8 * (1 - (1 - np.minimum(shares, 1)) ** 3)
    np.testing.assert_allclose(values, by_hand, rtol=1e-6)


def test_schedule_can_be_recorded():
    pruning = MagnitudePruning(new_model(), sparsity=0.8, ramp_steps=10)
    record = record_schedule(pruning.schedule, num_steps=20, steps_per_epoch=5)
    assert record.epochs[-1] == 4
    assert record.values[0] == 0
    assert record.values[-1] == pytest.approx(0.8)
    assert record.description == "CubicRamp, 0 to 0.8"


def test_pass_prunes_what_the_callback_prunes_and_records_it():
    model, by_callback = new_model(), new_model()
    recover = Fit(X, Y, epochs=3, batch_size=8)
    returned, record = prune_by_magnitude(
        model, recover, sparsity=0.7, ramp_epochs=2, skip=["conv"]
    )
    pruning = MagnitudePruning(
        by_callback, sparsity=0.7, ramp_steps=10, skip=["conv"]
    )
    Fit(X, Y, epochs=3, batch_size=8)(by_callback, [pruning])
    assert returned is model
    for a, b in zip(model.weights, by_callback.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert record.sparsity == pruning.record().sparsity
    assert zeros(model.get_layer("logits")) == pytest.approx(0.7, abs=0.01)
    assert zeros(model.get_layer("conv")) == 0


def test_pass_hands_over_what_its_training_must_keep():
    model = new_model()
    recover = Fit(X, Y, epochs=3, batch_size=8)
    prune_by_magnitude(model, recover, sparsity=0.5, ramp_epochs=2)
    [call] = recover.calls
    assert call["first_eligible_epoch"] == 2
    # The mask and the step of each of three kernels.
    assert len(call["variables"]) == 3 + 3
    assert float(call["schedules"]["sparsity"](10)) == pytest.approx(0.5)
    assert float(call["schedules"]["sparsity"](0)) == 0


def test_pass_leaves_an_epoch_to_recover():
    recover = Fit(X, Y, epochs=2, batch_size=8)
    with pytest.raises(ValueError, match="`ramp_epochs` must be less than the"):
        prune_by_magnitude(new_model(), recover, ramp_epochs=2)
    assert not recover.calls
