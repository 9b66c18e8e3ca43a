"""Every stage alone, on what the stages before it really left."""

import importlib
import shutil

import keras
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from kd_tf import ConversionError, FileModel, QuantizationError, read_labels
from kd_tf.compression import PASSES, PassSpec
from kd_tf.export.post_training import quantize_tflite
from kd_tf.results import LayerRecord
from kd_tf.tasks.curves import load_arrays
from pipelines.config.loading import load_config
from pipelines.state import CANDIDATE, Run
from pipelines.workdir import Workdir


@pytest.fixture
def run_stage(finished_run, tiny_config, tmp_path):
    """Function running one stage in a copy of a finished run."""
    folder = tmp_path / "run"
    shutil.copytree(finished_run[0], folder)

    def run(name, *overrides):
        state = Run(load_config(tiny_config, overrides), Workdir(folder))
        scratch = state.workdir.partial(name, {"trial": 1})
        stage = importlib.import_module(f"pipelines.stages.{name}")
        artefacts, result = getattr(stage, name)(state, scratch)
        return {key: str(path) for key, path in artefacts.items()}, result

    return run


@pytest.fixture
def finished(finished_run, tiny_config):
    """The finished run itself; not to be changed."""
    return Run(load_config(tiny_config), Workdir(finished_run[0]))


def test_prepare_leaves_splits_and_counts(run_stage):
    artefacts, result = run_stage("prepare")
    assert len(artefacts) == 6
    assert result.examples == {"train": 1294, "validation": 144, "test": 359}
    assert result.example_shape == [8, 8, 1]
    assert np.load(artefacts["data/test_x.npy"]).shape == (359, 8, 8, 1)


def test_prepare_reads_npz(run_stage, npz_file):
    path = npz_file()
    _, result = run_stage("prepare", "data.source=npz", f"data.path={path}")
    assert result.examples == {"train": 54, "validation": 6, "test": 15}
    assert result.test_split == "the source's own"


def test_teach_leaves_the_best_epoch(run_stage):
    artefacts, result = run_stage("teach")
    scores = [logs["val_accuracy"] for logs in result.history]
    assert len(scores) == 2
    assert result.validation_score == max(scores)
    teacher = keras.models.load_model(artefacts["models/teacher.keras"])
    assert result.parameters == teacher.count_params()
    assert not teacher.compiled


def test_teach_takes_the_seed_0(run_stage):
    _, result = run_stage("teach", "seeds.weights=0", "teacher.epochs=1")
    assert len(result.history) == 1


def test_teach_scores_a_teacher_that_is_handed_in(
    run_stage, finished, finished_run
):
    path = finished_run[0] / "models" / "teacher.keras"
    _, result = run_stage("teach", f"teacher.path={path}")
    expected = finished.result("teach")
    assert result.validation_score == pytest.approx(expected.validation_score)
    assert result.history == []


def test_control_and_distill_start_from_the_same_weights(run_stage):
    # At a rate of next to nothing, both end where they began.
    rate = ("student.learning_rate=1e-12", "student.epochs=1")
    (control, _), (student, _) = (
        run_stage(name, *rate) for name in ("control", "distill")
    )
    control = keras.models.load_model(control["models/control.keras"])
    student = keras.models.load_model(student["models/student.keras"])
    for a, b in zip(
        control.trainable_variables, student.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_distill_learns_from_the_teacher(run_stage):
    _, result = run_stage("distill", "distill.student_weight=0")
    losses = [logs["soft_targets_loss"] for logs in result.history]
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(
        losses, [logs["loss"] for logs in result.history], rtol=1e-5
    )


def test_distill_takes_the_losses_of_the_config(run_stage):
    losses = (
        "[{name: soft_targets, temperature: {start: 8, end: 2, epochs: 1}},"
        " {name: hint, pairs: auto, weight: 0.5}, {name: rkd_distance},"
        " {name: 'kd_tf.losses.response:logit_matching_loss', weight: 2}]"
    )
    artefacts, result = run_stage("distill", f"distill.losses={losses}")
    last = result.history[-1]
    assert last.keys() >= {
        "soft_targets_loss",
        "hint_loss",
        "rkd_distance_loss",
        "logit_matching_loss",
    }
    assert last["val_loss"] == pytest.approx(
        0.1 * last["val_student_loss"]
        + 0.9
        * (
            last["val_soft_targets_loss"]
            + 0.5 * last["val_hint_loss"]
            + last["val_rkd_distance_loss"]
            + 2 * last["val_logit_matching_loss"]
        ),
        rel=1e-4,
    )
    assert result.adapter_parameters > 0
    assert result.layer_pairs["hint_loss"]
    student = keras.models.load_model(artefacts["models/student.keras"])
    assert student.count_params() == result.parameters


def test_distill_records_a_diagnosis_of_its_first_step(run_stage):
    _, result = run_stage("distill", "distill.student_weight=1")
    diagnosis = result.diagnosis
    assert diagnosis.gradient_share == {
        "student_loss": 1.0,
        "soft_targets_loss": 0.0,
    }
    assert "`student_weight` is 1 now: soft_targets_loss" in "".join(
        diagnosis.findings
    )
    assert "student_loss 100.0%" in diagnosis.summary


def test_prune_recovers_under_the_teacher(run_stage):
    artefacts, result = run_stage("prune", "prune.sparsity=0.8")
    assert "soft_targets_loss" in result.training.history[0]
    assert result.training.best_epoch > 1  # not before the ramp has ended
    pruned = keras.models.load_model(artefacts["models/pruned.keras"])
    for row in result.compression.layers:
        if row.skipped is None:
            kernel = np.array(pruned.get_layer(row.layer).kernel)
            assert np.mean(kernel == 0) == pytest.approx(0.8, abs=0.02)


def test_prune_without_a_teacher_recovers_on_labels(run_stage):
    _, result = run_stage(
        "prune", "teacher.enabled=false", "distill.enabled=false"
    )
    assert "soft_targets_loss" not in result.training.history[0]


def test_prune_records_how_sparsity_rose(run_stage):
    _, result = run_stage("prune", "prune.sparsity=0.8")
    schedule = result.training.schedules["sparsity"]
    assert schedule.epochs[0] == 0
    assert schedule.epochs[-1] == 3
    assert schedule.values[-1] == pytest.approx(0.8)
    assert sorted(schedule.values) == schedule.values


def zero_biases(model, recover, *, gain: float = 0.0):
    """Multiplies every bias by `gain`; nothing is trained."""
    from kd_tf.results import CompressionRecord

    layers = [x for x in model.layers if getattr(x, "bias", None) is not None]
    for layer in layers:
        layer.bias.assign(layer.bias * gain)
    rows = [LayerRecord(x.name, x.count_params(), 0) for x in layers]
    return model, CompressionRecord(rows, 0.0)


TWICE = 2 * 0.5  # a default that is computed


def recover_twice(model, recover, *, gain: float = TWICE):
    """Trains twice, and forgets all between."""
    from kd_tf.results import CompressionRecord

    assert gain == 1.0
    recover(model)
    weights = model.get_weights()
    model.set_weights([0 * w for w in weights])
    recover(model)
    assert not any(
        np.array_equal(*p)
        for p in zip(weights, model.get_weights(), strict=True)
    )
    return model, CompressionRecord([], 0.0)


def test_a_pass_may_recover_twice(run_stage):
    _, result = run_stage(
        "prune",
        f"prune={{method: '{__name__}:recover_twice', epochs: 2}}",
    )
    assert len(result.training.history) == 2


@pytest.mark.parametrize("method", ["made_up", f"{__name__}:zero_biases"])
def test_a_pass_takes_one_function_and_one_row(run_stage, monkeypatch, method):
    spec = PassSpec(f"{__name__}:zero_biases", title="without biases")
    monkeypatch.setitem(PASSES, "made_up", spec)
    artefacts, result = run_stage(
        "prune", f"prune={{method: '{method}', gain: 0.5}}"
    )
    assert [row.layer for row in result.compression.layers] == ["logits"]
    assert result.training.history == []
    assert result.training.validation_score > 0
    before = keras.models.load_model(
        artefacts["models/pruned.keras"].partition("partial")[0]
        + "models/student.keras"
    )
    after = keras.models.load_model(artefacts["models/pruned.keras"])
    np.testing.assert_allclose(
        after.get_layer("logits").bias, 0.5 * before.get_layer("logits").bias
    )


def test_quantize_makes_a_file_for_each_recipe(run_stage):
    artefacts, result = run_stage("quantize", "quantize.calibration_examples=9")
    assert set(artefacts) == {
        "tflite/weight_only_int8.tflite",
        "tflite/int8.tflite",
        CANDIDATE,
    }
    assert result.calibration_examples == 9
    assert result.quantizations["int8"].in_float == {}
    assert result.quantizations["weight_only_int8"].in_float


def test_recipe_that_fails_costs_its_row_unless_it_is_released(
    run_stage, monkeypatch
):
    def fail_at_int8(float_path, path, *, recipe, examples):
        if recipe == "int8":
            raise QuantizationError("it cannot be")
        return quantize_tflite(
            float_path, path, recipe=recipe, examples=examples
        )

    monkeypatch.setattr(
        "pipelines.stages.quantize.quantize_tflite", fail_at_int8
    )
    _, result = run_stage("quantize", "quantize.release=weight_only_int8")
    assert result.not_made == {"int8": "it cannot be"}
    assert result.quantizations.keys() == {"weight_only_int8"}
    with pytest.raises(QuantizationError, match="it cannot be"):
        run_stage("quantize")


def test_conversion_that_fails_costs_a_row_unless_it_is_the_last_models(
    run_stage, monkeypatch
):
    def fail_but_for(name):
        def convert_to_tflite(model_path, tflite_path, **options):
            if not model_path.endswith(f"{name}.keras"):
                raise ConversionError(f"not {model_path}")
            shutil.copyfile(model_path, tflite_path)

        monkeypatch.setattr(
            "pipelines.stages.export.convert_to_tflite", convert_to_tflite
        )

    fail_but_for("pruned")
    artefacts, result = run_stage("export")
    assert result.not_made.keys() == {"teacher", "control", "student"}
    assert set(artefacts) == {"tflite/pruned.tflite"}
    fail_but_for("student")
    with pytest.raises(ConversionError, match=r"pruned\.keras"):
        run_stage("export")


def test_the_file_to_be_released_carries_its_labels(run_stage, finished_run):
    artefacts, _ = run_stage("quantize", "quantize.release=weight_only_int8")
    labels = read_labels(artefacts[CANDIDATE])
    assert labels == [str(digit) for digit in range(10)]
    origin = finished_run[0] / "tflite" / "weight_only_int8.tflite"
    with open(artefacts[CANDIDATE], "rb") as file:
        assert file.read().startswith(origin.read_bytes())


def test_without_quantization_the_float_file_is_sealed(run_stage):
    artefacts, _ = run_stage("export", "quantize.enabled=false")
    assert read_labels(artefacts[CANDIDATE])[:2] == ["0", "1"]


def test_verify_scores_every_file_on_the_whole_test_split(
    run_stage, finished_run
):
    artefacts, result = run_stage("verify")
    images, labels = (
        np.load(finished_run[0] / "data" / f"test_{part}.npy") for part in "xy"
    )
    outputs = FileModel(finished_run[0] / "student.tflite")(images)
    accuracy = float(np.mean(outputs.argmax(-1) == labels))
    assert result.file_scores["int8"].scores["accuracy"] == accuracy
    for name in ("teacher", "control", "student", "pruned"):
        file, model = result.file_scores[name], result.model_scores[name]
        assert file.agreement == 1.0
        assert file.scores["accuracy"] == model.scores["accuracy"]
    curves = load_arrays(artefacts["verification/curves.npz"])
    np.testing.assert_array_equal(
        curves["int8"]["confusion"],
        confusion_matrix(labels, outputs.argmax(-1)),
    )
    shown = np.load(artefacts["verification/shown.npz"])
    np.testing.assert_array_equal(shown["x"], images[shown["numbers"]])
    np.testing.assert_array_equal(shown["file/int8"], outputs[shown["numbers"]])


LIMITS = {
    "max_score_drop": ("budget.max_score_drop=0", 0.0),
    "max_size_kb": ("budget.max_size_kb=1", 1.0),
    "max_latency_ms": ("budget.max_latency_ms=1e-9", 1e-9),
}


@pytest.mark.parametrize("name", LIMITS)
def test_verify_checks_every_limit(run_stage, finished, name):
    override, allowed = LIMITS[name]
    _, result = run_stage("verify", override)
    scores = finished.result("verify")
    file, cost = scores.file_scores["int8"], finished.result("benchmark")
    teacher = scores.model_scores["teacher"].scores["accuracy"]
    measured = {
        "max_score_drop": round(teacher - file.scores["accuracy"], 9),
        "max_size_kb": cost["int8"].size_bytes / 1000,
        # The figure of the table, not a second measurement.
        "max_latency_ms": cost["int8"].p50_ms,
    }
    [limit] = [limit for limit in result.limits if limit.name == name]
    assert (limit.allowed, limit.measured) == (allowed, measured[name])
    assert limit.met == (measured[name] <= allowed)


def test_benchmark_measures_every_file(run_stage):
    _, result = run_stage("benchmark")
    assert list(result) == [
        "teacher",
        "control",
        "student",
        "pruned",
        "weight_only_int8",
        "int8",
    ]
    assert all(cost.p50_ms > 0 for cost in result.values())
    assert result["int8"].size_bytes < result["teacher"].size_bytes


def test_report_releases_the_verified_file(run_stage, finished_run):
    artefacts, result = run_stage("report")
    assert (result.missed, result.file) == ([], "student.tflite")
    with open(artefacts["student.tflite"], "rb") as file:
        sealed = finished_run[0] / CANDIDATE
        assert file.read() == sealed.read_bytes()


def softmax_model():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def narrow_model():
    return keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(9)]
    )


def nan_model():
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    model.layers[-1].bias.assign([np.nan] * 10)
    return model


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (softmax_model, "ends in softmax"),
        (
            narrow_model,
            "has the wrong output shape",
        ),
        (nan_model, "has outputs that are not finite"),
    ],
)
def test_unfit_models_are_refused_before_anything_is_built_on_them(
    run_stage, tmp_path, role, model, message
):
    path = tmp_path / "handed.keras"
    model().save(path)
    stage = {"teacher": "teach", "student": "distill"}[role]
    with pytest.raises(ValueError, match=f"The {role} {message}"):
        run_stage(stage, f"{role}.path={path}")


def test_mean_that_fits_no_channel_is_refused(run_stage):
    with pytest.raises(ValueError, match="one for each channel, 1 here"):
        run_stage("teach", "data.mean=[1, 2, 3]")


def test_data_of_another_task_is_refused(run_stage):
    with pytest.raises(ValueError, match="Set task: classification"):
        run_stage("prepare", "task=segmentation")


@pytest.mark.parametrize(("expected", "fits"), [(8000, True), (16000, False)])
def test_a_front_end_of_another_rate_is_refused(expected, fits):
    from kd_tf import build_model
    from pipelines.training import _check_sample_rate

    front_end = {"sample_rate": expected, "high_hz": 3800}
    model = build_model("gru", (4000,), 2, units=2, log_mel=front_end)
    _check_sample_rate(model, expected)
    _check_sample_rate(model, None)
    if fits:
        _check_sample_rate(model, 8000)
    else:
        with pytest.raises(ValueError, match="sample_rate: 8000, and high_hz"):
            _check_sample_rate(model, 8000)
