import dataclasses
import importlib
import json

import keras
import numpy as np
import pytest

from kd_tf import (
    FileModel,
    build_model,
    convert_to_tflite,
    quantize_tflite,
)
from kd_tf.compression.magnitude import MagnitudePruning
from kd_tf.data.sources.source import ArraySpec
from kd_tf.models import MODEL_NAMES
from kd_tf.models.cost import count_macs
from kd_tf.models.graph import named_layers
from pipelines.config.models import MODEL_ARGUMENTS
from tests.conftest import ROOT

LOG_MEL = {
    "sample_rate": 8000,
    "frame_ms": 16,
    "hop_ms": 16,
    "num_mels": 12,
    "low_hz": 100,
    "high_hz": 4000,
}
MELS = 16 * (16 * 22 + 12 * 32 + 16 * 8 * 12)  # of log_mel; below


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the battery: cheap arguments, and what they must give."""

    arguments: dict
    shapes: tuple  # two that it takes
    parameters: int  # at the first shape, with two classes, by hand
    refused: tuple = ()  # a shape that it does not take
    message: str = ""


IMAGES = ((8, 8, 1), (12, 8, 3))
SOUNDS = ((2048,), (2176, 1))
DENSE = 4 * 2 + 2  # logits of 4 features
CASES = {
    # Weights and biases; normalization has four numbers a channel.
    "cnn": Case(
        {"filters": [3, 4], "hidden": 0, "dropout": 0.1},
        IMAGES,
        9 * 3 + 4 * 3 + 9 * 3 * 4 + 4 * 4 + DENSE,
        (1, 8, 1),
        "at least 2x2 pixels",
    ),
    "ds_cnn": Case(
        {"filters": 4, "blocks": 1, "dropout": 0.1, "log_mel": LOG_MEL},
        SOUNDS,
        4 * 12 + 40 * 4 + 16 + 9 * 4 + 16 + 4 * 4 + 16 + DENSE,
        (8, 8, 1),
        "reads waveforms",
    ),
    "gru": Case(
        {"units": 4, "stride": 4, "dropout": 0.1, "log_mel": LOG_MEL},
        SOUNDS,
        4 * 12 + 6 * 12 * 4 + 16 + 3 * 4 * (4 + 4 + 2) + DENSE,
        (100,),
        "a frame has 128 samples",
    ),
    "keras_application": Case(
        {"backbone": "MobileNet", "weights": None, "dropout": 0.1},
        ((32, 32, 1), (40, 32, 3)),
        3_228_864 + 1024 * 2 + 2,
        (32, 32, 2),
        r"needs images \(height, width, 1 or 3\)",
    ),
    "mlp": Case({"hidden": [5], "dropout": 0.1}, IMAGES, 65 * 5 + 5 * 2 + 2),
    "mobilenet": Case(
        {"filters": [2, 3, 4], "stem_stride": 1, "dropout": 0.1},
        IMAGES,
        (9 * 2 + 8)
        + (9 * 2 + 8 + 2 * 3 + 12)
        + (9 * 3 + 12 + 3 * 4 + 16)
        + DENSE,
        (8, 8),
        "needs images",
    ),
    "resnet": Case(
        {"depth": 8, "width": 1},
        IMAGES,
        (9 + 4)
        + (9 + 4 + 9 + 4)
        + (9 * 2 + 8 + 9 * 4 + 8 + 2 + 8)
        + (9 * 8 + 16 + 9 * 16 + 16 + 8 + 16)
        + DENSE,
        (3, 8, 1),
        "at least 4x4",
    ),
    "transformer": Case(
        {
            "width": 4,
            "depth": 1,
            "heads": 2,
            "dropout": 0.1,
            "patch": 4,
            "log_mel": LOG_MEL,
        },
        (SOUNDS[0], (8, 12, 3), (10, 6)),
        4 * 12
        + (12 * 4 + 4)
        + 16 * 4
        + (3 * 8 + 4 * (4 * 4 + 4) + (4 * 8 + 8) + (8 * 4 + 4))
        + DENSE,
        (8, 6, 3),
        "sides divide by 4",
    ),
    "unet": Case(
        {
            "width": 2,
            "depth": 1,
            "upsampling": "transposed",
            "dropout": 0.1,
            "separable": False,
        },
        IMAGES,
        (9 * 2 + 8 + 9 * 4 + 8)
        + (9 * 8 + 16 + 9 * 16 + 16)
        + (4 * 4 * 2 + 2)
        + (9 * 4 * 2 + 8 + 9 * 4 + 8)
        + (2 * 2 + 2),
        (7, 8, 1),
        r"divide by 2. Received: \(7, 8, 1\)",
    ),
    "vgg": Case(
        {"filters": [3, 4], "repeats": 2, "dropout": 0.1},
        IMAGES,
        9 * (3 + 9 + 12 + 16) + 4 * (3 + 3 + 4 + 4) + DENSE,
        (8, 1, 1),
        "at least 2x2 pixels",
    ),
}
every_model = pytest.mark.parametrize("name", MODEL_NAMES)


def build(name, shape=None, **changes):
    case = CASES[name]
    arguments = {**case.arguments, **changes}
    return build_model(name, shape or case.shapes[0], 2, **arguments)


def examples(name, num, shape=None):
    shape = (num, *(shape or CASES[name].shapes[0]))
    return np.random.default_rng(0).normal(0, 0.3, shape).astype("float32")


@every_model
def test_logits_of_every_shape_it_takes(name):
    for shape in CASES[name].shapes:
        model = build(name, shape)
        answers = model(examples(name, 3, shape))
        pixels = shape[:2] if name == "unet" else ()
        assert answers.shape == (3, *pixels, 2)
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
def test_a_saved_model_opens_safely_and_answers_the_same(name, tmp_path):
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
    skipped = [r for r in pruning.record()["layers"] if "skipped" in r]
    assert sum(r["weights"] for r in skipped) < model.count_params()
    assert {r["skipped"].removesuffix(" is not pruned") for r in skipped} <= {
        "BatchNormalization",
        "DepthwiseConv2D",
        "GRUCell",
        "LayerNormalization",
        "PositionEmbedding",
    }


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n].message])
def test_an_example_that_does_not_fit_is_refused(name):
    case = CASES[name]
    with pytest.raises(ValueError, match=case.message) as refusal:
        build(name, case.refused)
    assert f"Model '{name}' cannot be built" in str(refusal.value)


@every_model
def test_defaults_are_arguments_of_the_model_and_cost_what_was_measured(name):
    measured = json.loads((ROOT / "benchmarks/models.json").read_text())
    row = next(r for r in measured["rows"] if r["model"] == name)
    arguments = MODEL_ARGUMENTS[name]().model_dump()
    assert arguments.keys() == CASES[name].arguments.keys()
    if name == "keras_application":
        arguments["weights"] = None
    model = build_model(
        name, row["input_shape"], measured["num_classes"], **arguments
    )
    assert model.count_params() == row["parameters"]
    assert count_macs(model) == row["macs"]


@every_model
def test_what_it_costs_stands_in_its_docstring(name):
    measured = json.loads((ROOT / "benchmarks/models.json").read_text())
    row = next(r for r in measured["rows"] if r["model"] == name)
    module = importlib.import_module(f"kd_tf.models.{name}")
    text = " ".join(getattr(module, name).__doc__.split())
    assert (
        f"At its defaults, for {'x'.join(map(str, row['input_shape']))} and "
        f"{measured['num_classes']} classes: {row['parameters']:,} parameters, "
        f"{row['macs'] / 1e6:.1f} million multiply-accumulates, "
        f"{row['float']['bytes'] / 1000:.0f} kB, "
        f"in int8 {row['int8']['bytes'] / 1000:.0f} kB."
    ) in text


def test_names_are_those_that_a_config_knows():
    assert tuple(MODEL_ARGUMENTS) == MODEL_NAMES == tuple(CASES)


def test_hidden_units_replace_the_average():
    model = build("cnn", filters=[3], hidden=5)
    assert model.get_layer("hidden").kernel.shape == (8 * 8 * 3, 5)


def test_a_function_of_your_own():
    model = build_model("kd_tf.models.mlp:mlp", (4,), 3, hidden=[], dropout=0.0)
    assert model.output_shape == (None, 3)


@pytest.mark.parametrize("upsampling", ["transposed", "nearest", "bilinear"])
@pytest.mark.parametrize("separable", [False, True])
def test_a_unet_of_every_kind_answers_each_pixel(upsampling, separable):
    model = build(
        "unet", (8, 12, 3), depth=2, upsampling=upsampling, separable=separable
    )
    assert model.output_shape == (None, 8, 12, 2)
    # Teacher and student share the names by which they are tapped.
    assert model.get_layer("up_2_second_relu").output.shape[1:3] == (4, 6)


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_a_1x1_convolution_may_come_before_enlarging(upsampling):
    x = examples("unet", 1, (4, 4, 3))
    narrow = keras.layers.Conv2D(2, 1, bias_initializer="random_normal")
    enlarge = keras.layers.UpSampling2D(2, interpolation=upsampling)
    np.testing.assert_allclose(
        enlarge(narrow(x)), narrow(enlarge(x)), rtol=1e-4, atol=1e-5
    )


def test_blocks_of_a_mobilenet_halve_where_channels_grow():
    model = build("mobilenet", (32, 32, 3), filters=[2, 4, 4, 8, 8, 9])
    sides = [
        model.get_layer(f"block_{i}_relu").output.shape[1] for i in range(1, 6)
    ]
    assert sides == [32, 32, 16, 16, 8]


def test_a_backbone_keeps_its_answers_under_names_of_its_own():
    from kd_tf.models.keras_application import _with_names_of_its_own

    keras.applications.MobileNetV3Small(weights=None)  # moves Keras's count
    model = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    renamed, x = _with_names_of_its_own(model), examples("cnn", 2, (32, 32, 3))
    np.testing.assert_array_equal(model(x), renamed(x))
    assert renamed.get_layer("re_lu_1") and renamed.get_layer("conv_bn")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("unet", {"upsampling": "cubic"}, "must be one of transposed, nearest"),
        ("unet", {"depth": 4}, "whose sides divide by 16"),
        ("resnet", {"depth": 10}, "must be 6n . 2: 8, 14, 20, .*depth=10"),
        ("mobilenet", {"filters": [4]}, "at least one block"),
        ("transformer", {"heads": 3}, "a multiple of `heads`"),
        (
            "keras_application",
            {"backbone": "MobilenetV2"},
            "no backbone 'MobilenetV2'. Allowed: MobileNetV2, ",
        ),
        ("keras_application", {"weights": "nowhere.h5"}, "nowhere.h5"),
        ("mlp", {"depth": 2}, "Received: .*depth"),
    ],
)
def test_arguments_that_cannot_be_are_refused(name, changes, message):
    with pytest.raises(ValueError, match=message):
        build(name, **changes)


def test_a_download_that_fails_is_told_with_what_else_there_is(monkeypatch):
    def fails(**arguments):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "MobileNetV2", fails)
    with pytest.raises(ValueError, match="path of a file, or null. Rec.*URL"):
        build("keras_application", weights="imagenet")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vgq", "no model 'vgq'. Allowed: cnn, ds_cnn, gru, .*, or 'package"),
        ("kd_tf:nothing", "no model 'kd_tf:nothing'"),
        ("os.nowhere:f", "no model 'os.nowhere:f'"),
    ],
)
def test_a_name_that_is_no_model_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        build_model(name, (4,), 2)


def tones(num):
    """int16 waveforms of two tones in noise, and which of them it is."""
    rng, classes = np.random.default_rng(0), np.arange(num) % 2
    hertz = np.array([500, 2000])[classes] * rng.uniform(0.8, 1.2, num)
    turns = np.outer(hertz, np.arange(2048)) / 8000
    waves = rng.uniform(0.02, 0.6, (num, 1)) * np.sin(2 * np.pi * turns)
    waves += rng.uniform(0.001, 0.05, (num, 1)) * rng.normal(size=waves.shape)
    return (waves * 2**15).clip(-(2**15), 2**15 - 1).astype("int16"), classes


def cosine(a, b):
    """Of what two files answer beyond their mean answer."""
    a, b = (x - x.mean(axis=0) for x in (a, b))
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


@pytest.mark.parametrize("name", ["ds_cnn", "gru", "transformer"])
def test_a_model_of_sound_hears_tones_in_8_bits(name, tmp_path):
    keras.utils.set_random_seed(1)
    (x, y), model = tones(192), build(name, dropout=0.0)
    model.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(x / 2**15, y, batch_size=16, epochs=8, verbose=0)
    files = convert_and_quantize(model, x, tmp_path)
    answers = {kind: FileModel(files[kind])(x) for kind in files}
    by_keras = model.predict(x / 2**15, verbose=0)
    np.testing.assert_allclose(answers["float"], by_keras, rtol=1e-3, atol=1e-3)
    assert np.mean(by_keras.argmax(axis=-1) == y) > 0.95
    for kind in ("weight_only_int8", "int8"):
        assert cosine(answers["float"], answers[kind]) > 0.98, kind


def test_a_large_unet_of_transposed_convolutions_answers_in_8_bits(tmp_path):
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), "uint8")
    # From 256 KiB on, the quantizer writes constants behind the model.
    model = build("unet", width=32, depth=2)
    files = convert_and_quantize(model, x, tmp_path, std=255.0)
    assert files["int8"].stat().st_size > 2**18
    answers = {kind: FileModel(files[kind])(x) for kind in files}
    assert answers["int8"].shape == (8, 8, 8, 2)
    assert cosine(answers["float"], answers["int8"]) > 0.98


def convert_and_quantize(model, x, folder, std=2.0**15):
    model.save(folder / "model.keras")
    files = {
        kind: folder / f"{kind}.tflite"
        for kind in ("float", "weight_only_int8", "int8")
    }
    convert_to_tflite(
        folder / "model.keras",
        files["float"],
        example=ArraySpec(x.shape[1:], x.dtype.name),
        mean=0.0,
        std=std,
        time_limit_s=300,
    )
    for kind in ("weight_only_int8", "int8"):
        quantize_tflite(files["float"], files[kind], kind, x[:64])
    return files
