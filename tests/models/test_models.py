"""The table of models, and one battery over its rows."""

import importlib
import inspect
import json
import subprocess
import sys
import typing

import keras
import numpy as np
import pydantic
import pytest

import kd_tf
from kd_tf import build_model
from kd_tf.compression.magnitude import MagnitudePruning
from kd_tf.models import MODELS, ModelSpec
from kd_tf.models.cost import count_macs
from kd_tf.models.graph import named_layers
from kd_tf.ranges import ArgumentsOf
from kd_tf.specs import REQUIRED, read_arguments
from tests.conftest import ROOT
from tests.models.cases import (
    CASES,
    build,
    every_model,
    examples,
    own_parameters,
)

OWN = "tests.models.cases:own_model"


@every_model
def test_outputs_are_logits_for_every_shape_it_takes(name):
    for shape in CASES[name].shapes:
        model = build(name, shape)
        outputs = model(examples(name, 3, shape))
        pixels = shape[:2] if name == "unet" else ()
        assert outputs.shape == (3, *pixels, 2)
        assert model.layers[-1].name == "logits"
        assert model.layers[-1].activation is keras.activations.linear


@every_model
def test_parameters_by_hand(name):
    assert build(name).count_params() == CASES[name].parameters


@every_model
def test_names_do_not_depend_on_what_was_built_before(name):
    models = [build(name) for _ in range(2)]
    for names in (
        [[v.path for v in model.trainable_variables] for model in models],
        [list(named_layers(model)) for model in models],
    ):
        assert names[0] == names[1]


@every_model
def test_a_saved_model_loads_safely_and_has_the_same_outputs(name, tmp_path):
    model, x = build(name), examples(name, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(
        tmp_path / "model.keras", compile=False, safe_mode=True
    )
    np.testing.assert_allclose(model(x), loaded(x), rtol=1e-6, atol=1e-6)


@every_model
def test_pruning_knows_every_layer(name):
    model = build(name)
    pruning = MagnitudePruning(model, sparsity=0.5, ramp_steps=1)
    skipped = [r for r in pruning.record().layers if r.skipped]
    assert sum(r.weights for r in skipped) < model.count_params()
    assert {r.skipped.removesuffix(" is not pruned") for r in skipped} <= {
        "BatchNormalization",
        "DepthwiseConv2D",
        "GRUCell",
        "LayerNormalization",
        "PositionEmbedding",
    }


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].message])
def test_an_example_of_the_wrong_shape_is_refused(name):
    case = CASES[name]
    with pytest.raises(ValueError, match=case.message) as refusal:
        build(name, case.refused)
    assert f"Model '{name}' cannot be built" in str(refusal.value)


def measured(name):
    """The row of a model in the committed benchmark, and all of it."""
    results = json.loads((ROOT / "benchmarks/models.json").read_text())
    return next(r for r in results["rows"] if r["model"] == name), results


@every_model
def test_defaults_cost_what_was_measured(name):
    row, results = measured(name)
    # Random weights cost the same, and need no download.
    arguments = {"weights": None} if name == "keras_application" else {}
    model = build_model(
        name, row["input_shape"], results["num_classes"], **arguments
    )
    assert model.count_params() == row["parameters"]
    assert count_macs(model) == row["macs"]


@every_model
def test_what_it_costs_stands_in_its_docstring(name):
    row, results = measured(name)
    module = importlib.import_module(f"kd_tf.models.{name}")
    text = " ".join(getattr(module, name).__doc__.split())
    assert (
        f"At its defaults, for {'x'.join(map(str, row['input_shape']))} and "
        f"{results['num_classes']} classes: {row['parameters']:,} parameters, "
        f"{row['macs'] / 1e6:.1f} million multiply-accumulates, "
        f"{row['float']['bytes'] / 1000:.0f} kB, "
        f"in int8 {row['int8']['bytes'] / 1000:.0f} kB."
    ) in text


def test_the_battery_has_a_case_for_every_row():
    assert list(CASES) == list(MODELS)


@every_model
def test_arguments_are_read_with_types_defaults_and_descriptions(name):
    spec = MODELS[name]
    arguments = spec.arguments
    assert arguments.keys() == CASES[name].arguments.keys()
    assert spec.summary.startswith("Builds ")
    check_arguments(arguments, spec.load())


def test_arguments_of_the_front_end_are_read_too():
    fields = [
        MODELS[n].arguments["log_mel"]
        for n in CASES
        if "log_mel" in MODELS[n].arguments
    ]
    assert len(fields) == 3
    for field in fields:
        mapping, _ = typing.get_args(field.annotation)
        _, mark = typing.get_args(mapping)
        assert mark == ArgumentsOf("kd_tf.models.log_mel:LogMel")
        assert field.default is None
    from kd_tf.models.log_mel import LogMel

    arguments = read_arguments("kd_tf.models.log_mel:LogMel")
    assert list(arguments) == [
        "sample_rate",
        "frame_ms",
        "hop_ms",
        "num_mels",
        "low_hz",
        "high_hz",
    ]
    check_arguments(arguments, LogMel)
    assert {n: a.default for n, a in arguments.items()}.items() <= (
        LogMel().get_config().items()
    )


def check_arguments(arguments, function):
    parameters = inspect.signature(function).parameters
    for name, argument in arguments.items():
        assert argument.annotation is not typing.Any, name
        assert argument.default is not REQUIRED, name
        assert argument.default == parameters[name].default
        assert argument.description, name
        check(argument.annotation, argument.default)


def check(annotation, value):
    pydantic.TypeAdapter(annotation).validate_python(value)


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        ("cnn", "filters", []),
        ("cnn", "filters", [0]),
        ("cnn", "hidden", -1),
        ("cnn", "dropout", 1.0),
        ("gru", "units", 0),
        ("mobilenet", "filters", [4]),
        ("mobilenet", "stem_stride", 3),
        ("resnet", "depth", 7),
        ("unet", "upsampling", "cubic"),
        ("vgg", "filters", []),
    ],
)
def test_ranges_of_arguments_exclude_what_cannot_be(name, argument, value):
    with pytest.raises(pydantic.ValidationError):
        check(MODELS[name].arguments[argument].annotation, value)


@pytest.mark.parametrize(
    ("name", "argument", "value"),
    [
        ("mlp", "hidden", []),
        ("unet", "depth", 0),
        ("ds_cnn", "blocks", 0),
        ("keras_application", "weights", None),
        ("gru", "log_mel", {"num_mels": 20}),
    ],
)
def test_ranges_of_arguments_include_what_is_possible(name, argument, value):
    check(MODELS[name].arguments[argument].annotation, value)


def test_reading_the_table_imports_neither_tensorflow_nor_keras():
    code = (
        "import sys; from kd_tf.models import MODELS; "
        "print([len(s.arguments) for s in MODELS.values()]); "
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == [
        len(c.arguments) for c in CASES.values()
    ]


def test_a_model_is_built_from_its_name_alone():
    model = kd_tf.build_model("cnn", (8, 8, 1), 10)
    by_hand = 9 * 32 + 4 * 32 + 9 * 32 * 64 + 4 * 64 + 65 * 10
    assert model.count_params() == by_hand


def test_a_row_that_is_added_is_built_and_read(monkeypatch):
    monkeypatch.setitem(MODELS, "made_up", ModelSpec(OWN))
    assert list(MODELS["made_up"].arguments) == ["units"]
    model = build_model("made_up", (4, 2), 5, units=7)
    assert model.count_params() == own_parameters((4, 2), 5, 7)
    with pytest.raises(ValueError, match=r"Allowed: .*vgg, made_up, or 'pack"):
        build_model("made_down", (4, 2), 5)


def test_a_function_of_your_own_may_name_its_parameters_as_it_likes():
    model = build_model(OWN, [4], 3)
    assert model.output_shape == (None, 3)
    assert model.count_params() == own_parameters((4,), 3, 3)
    assert list(MODELS.find(OWN).arguments) == ["units"]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("unet", {"upsampling": "cubic"}, "must be one of transposed, nearest"),
        ("unet", {"depth": 4}, "height and width divide by 16"),
        ("resnet", {"depth": 10}, "must be 6n . 2: 8, 14, 20, .*depth=10"),
        ("mobilenet", {"filters": [4]}, "at least one block"),
        ("transformer", {"heads": 3}, "a multiple of `heads`"),
        (
            "keras_application",
            {"backbone": "MobilenetV2"},
            "no backbone 'MobilenetV2'. Allowed: MobileNetV2, ",
        ),
        ("keras_application", {"weights": "nowhere.h5"}, "nowhere.h5"),
        ("mlp", {"depth": 2}, "arguments {.*'depth': 2}: .*'depth'"),
    ],
)
def test_arguments_that_cannot_be_are_refused(name, changes, message):
    with pytest.raises(ValueError, match=message):
        build(name, **changes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgq", "no model 'vgq'.* Allowed: cnn, ds_cnn, gru, .*, or 'package"),
        ("kd_tf:nothing", "model 'kd_tf:nothing' cannot be imported"),
        ("os.nowhere:f", "model 'os.nowhere:f' cannot be imported"),
    ],
)
def test_a_name_without_a_model_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        build_model(name, (4,), 2)
