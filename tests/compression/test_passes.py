import subprocess
import sys

import keras
import numpy as np
import pytest

from kd_tf.compression import PASSES, PassSpec
from kd_tf.ranges import Count, Share
from kd_tf.results import CompressionRecord, LayerRecord
from kd_tf.specs import REQUIRED, read_arguments
from tests.compression.recoveries import Fit

X = np.random.default_rng(0).normal(size=(16, 4)).astype("f")
Y = np.arange(16) % 3


def round_weights(model, recover, *, steps: Count = 4):
    """Rounds every weight to a multiple of 1 / steps, after recovery."""
    recover(model)
    for weights in model.weights:
        weights.assign(np.round(np.array(weights) * steps) / steps)
    rows = [
        LayerRecord(layer.path, layer.count_params(), 0)
        for layer in model.layers
    ]
    return model, CompressionRecord(rows, 0.0)


def new_model():
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def test_one_function_and_one_row_add_a_pass(monkeypatch):
    row = PassSpec(f"{__name__}:round_weights", title="rounded")
    monkeypatch.setitem(PASSES, "rounding", row)
    spec = PASSES.find("rounding")
    assert spec.title == "rounded"
    assert list(spec.arguments) == ["steps"]
    assert spec.arguments["steps"].annotation == Count
    assert spec.arguments["steps"].default == 4
    recover = Fit(X, Y, epochs=1, batch_size=8)
    model, record = spec.load()(new_model(), recover, steps=2)
    assert len(recover.calls) == 1
    for weights in model.weights:
        doubled = 2 * np.array(weights)
        np.testing.assert_array_equal(doubled, np.round(doubled))
    assert [row.weights for row in record.layers] == [15]


def test_a_function_of_the_users_own_is_a_pass():
    spec = PASSES.find(f"{__name__}:round_weights")
    assert spec.title == "round_weights"
    assert spec.load() is round_weights
    assert list(spec.arguments) == ["steps"]


def test_arguments_of_magnitude_are_those_of_its_signature():
    spec = PASSES.find("magnitude")
    arguments = spec.arguments
    assert spec.title == "pruned"
    assert list(arguments) == ["sparsity", "ramp_epochs", "skip"]
    assert arguments["sparsity"].annotation == Share
    assert [arguments[name].default for name in arguments] == [0.5, 2, ()]
    assert all(argument.description for argument in arguments.values())


@pytest.mark.parametrize("name", PASSES)
def test_every_pass_takes_a_model_and_a_recovery(name):
    spec = PASSES.find(name)
    assert list(read_arguments(spec.function))[:2] == ["model", "recover"]
    assert callable(spec.load())
    assert spec.summary
    assert all(a.default is not REQUIRED for a in spec.arguments.values())


def test_unknown_pass_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError,
        match=r"no compression pass 'magic'.*Allowed: magnitude, or 'package",
    ):
        PASSES.find("magic")


def test_reading_the_table_starts_no_tensorflow():
    code = (
        "import sys; from kd_tf.compression import PASSES; "
        "PASSES['magnitude'].arguments; "
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
