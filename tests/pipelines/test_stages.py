"""Every stage alone, on what the stages before it really left."""

import shutil

import keras
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

import kd_tf
import kd_tf.export.post_training
from kd_tf import FileModel, read_labels
from kd_tf.tasks.scoring import load_arrays
from pipelines import stages
from pipelines.config.loading import load_config
from pipelines.workdir import Workdir


@pytest.fixture
def run_stage(finished_run, tiny_config, tmp_path):
    """Function running one stage in a copy of a finished run."""
    folder = tmp_path / "run"
    shutil.copytree(finished_run[0], folder)

    def run(name, *overrides):
        config, workdir = load_config(tiny_config, overrides), Workdir(folder)
        scratch = workdir.partial(name, {"trial": 1})
        artefacts, result = getattr(stages, name)(config, workdir, scratch)
        return {key: str(path) for key, path in artefacts.items()}, result

    return run


def test_prepare_leaves_splits_and_counts(run_stage):
    artefacts, result = run_stage("prepare")
    assert len(artefacts) == 6
    assert result["examples"] == {"train": 1294, "validation": 144, "test": 359}
    assert result["example_shape"] == [8, 8, 1]
    assert np.load(artefacts["data/test_x.npy"]).shape == (359, 8, 8, 1)


def test_prepare_reads_npz(run_stage, npz_file):
    path = npz_file()
    _, result = run_stage("prepare", "data.source=npz", f"data.path={path}")
    assert result["examples"] == {"train": 54, "validation": 6, "test": 15}
    assert result["test_split"] == "the source's own"


def test_teach_leaves_the_best_epoch(run_stage):
    artefacts, result = run_stage("teach")
    scores = [logs["val_accuracy"] for logs in result["history"]]
    assert len(scores) == 2
    assert result["validation_score"] == max(scores)
    teacher = keras.models.load_model(artefacts["models/teacher.keras"])
    assert result["parameters"] == teacher.count_params()
    assert not teacher.compiled


def test_teach_scores_a_teacher_that_is_handed_in(run_stage, finished_run):
    path = finished_run[0] / "models" / "teacher.keras"
    artefacts, result = run_stage("teach", f"teacher.path={path}")
    expected = Workdir(finished_run[0]).record("teach")["result"]
    assert result["validation_score"] == pytest.approx(
        expected["validation_score"]
    )
    assert "history" not in result


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
    losses = [logs["soft_targets_loss"] for logs in result["history"]]
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(
        losses, [logs["loss"] for logs in result["history"]], rtol=1e-5
    )


def test_distill_takes_the_losses_of_the_config(run_stage):
    losses = (
        "[{name: soft_targets, temperature: {start: 8, end: 2, epochs: 1}},"
        " {name: hint, pairs: auto, weight: 0.5}, {name: rkd_distance},"
        " {name: 'kd_tf.losses.response:logit_matching_loss', weight: 2}]"
    )
    artefacts, result = run_stage("distill", f"distill.losses={losses}")
    last = result["history"][-1]
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
    assert result["adapter_parameters"] > 0
    assert result["pairs"]["hint_loss"]
    student = keras.models.load_model(artefacts["models/student.keras"])
    assert student.count_params() == result["parameters"]


def test_distill_records_a_diagnosis_of_its_first_step(run_stage):
    _, result = run_stage("distill", "distill.student_weight=1")
    diagnosis = result["diagnosis"]
    assert diagnosis["gradient_share"] == {
        "student_loss": 1.0,
        "soft_targets_loss": 0.0,
    }
    assert "soft_targets_loss has 0.00% of the gradient" in "".join(
        diagnosis["findings"]
    )
    assert "student_loss 100.0%" in diagnosis["summary"]


def test_prune_recovers_under_the_teacher(run_stage):
    artefacts, result = run_stage("prune", "prune.sparsity=0.8")
    assert "soft_targets_loss" in result["history"][0]
    assert result["best_epoch"] > 1  # not before the ramp has ended
    pruned = keras.models.load_model(artefacts["models/pruned.keras"])
    for row in result["pruning"]["layers"]:
        if "skipped" not in row:
            kernel = np.array(pruned.get_layer(row["layer"]).kernel)
            assert np.mean(kernel == 0) == pytest.approx(0.8, abs=0.02)


def test_prune_without_a_teacher_recovers_on_labels(run_stage):
    _, result = run_stage(
        "prune", "teacher.enabled=false", "distill.enabled=false"
    )
    assert "soft_targets_loss" not in result["history"][0]


def test_quantize_makes_both_files_from_training_examples(run_stage):
    artefacts, result = run_stage("quantize", "quantize.calibration_examples=9")
    assert set(artefacts) == {
        "tflite/pruned.tflite",
        "tflite/weight_only_int8.tflite",
        "tflite/int8.tflite",
    }
    assert result["calibration_examples"] == 9
    assert result["recipes"]["int8"]["in_float"] == {}
    assert result["recipes"]["weight_only_int8"]["in_float"]


def test_recipe_that_fails_costs_its_row_unless_it_is_delivered(
    run_stage, monkeypatch
):
    def quantize_tflite(float_path, path, recipe, examples):
        if recipe == "int8":
            raise kd_tf.QuantizationError("it cannot be")
        return kd_tf.export.post_training.quantize_tflite(
            float_path, path, recipe, examples
        )

    monkeypatch.setattr(kd_tf, "quantize_tflite", quantize_tflite, False)
    _, result = run_stage("quantize", "quantize.release=weight_only_int8")
    assert result["not_made"] == {"int8": "it cannot be"}
    assert result["recipes"].keys() == {"weight_only_int8"}
    with pytest.raises(kd_tf.QuantizationError, match="it cannot be"):
        run_stage("quantize")


def test_conversion_that_fails_costs_a_row_unless_it_is_the_students(
    run_stage, monkeypatch
):
    def convert_to_tflite(model_path, tflite_path, **options):
        raise kd_tf.ConversionError(f"not {model_path}")

    monkeypatch.setattr(kd_tf, "convert_to_tflite", convert_to_tflite, False)
    artefacts, result = run_stage("export")
    assert result["not_converted"].keys() == {"teacher", "control", "student"}
    assert set(artefacts) == {"tflite/candidate.tflite"}
    with pytest.raises(kd_tf.ConversionError, match="pruned.keras"):
        run_stage("export", "quantize.enabled=false")


def test_export_seals_the_chosen_file(run_stage, finished_run):
    off = [f"{name}.enabled=false" for name in ("teacher", "distill")]
    artefacts, result = run_stage(
        "export", *off, "quantize.release=weight_only_int8"
    )
    assert result["released"] == "weight_only_int8"
    sealed = artefacts["tflite/candidate.tflite"]
    assert read_labels(sealed) == [str(digit) for digit in range(10)]
    origin = finished_run[0] / "tflite" / "weight_only_int8.tflite"
    with open(sealed, "rb") as file:
        assert file.read().startswith(origin.read_bytes())


def test_verify_scores_every_file_on_the_whole_test_split(
    run_stage, finished_run
):
    artefacts, result = run_stage("verify")
    images, labels = (
        np.load(finished_run[0] / "data" / f"test_{part}.npy") for part in "xy"
    )
    answers = FileModel(finished_run[0] / "student.tflite")(images)
    correct = float(np.mean(answers.argmax(-1) == labels))
    assert result["files"]["int8"]["accuracy"] == correct
    for row in ("teacher", "control", "student", "pruned"):
        assert result["files"][row]["agreement"] == 1.0
        file, model = (result[kind][row] for kind in ("files", "models"))
        assert file["accuracy"] == model["accuracy"]
    curves = load_arrays(artefacts["verification/curves.npz"])
    np.testing.assert_array_equal(
        curves["int8"]["confusion"],
        confusion_matrix(labels, answers.argmax(-1)),
    )
    shown = np.load(artefacts["verification/shown.npz"])
    np.testing.assert_array_equal(shown["x"], images[shown["numbers"]])
    np.testing.assert_array_equal(
        shown["answers/int8"], answers[shown["numbers"]]
    )


LIMITS = {
    "max_score_drop": ("budget.max_score_drop=0", 0.0),
    "max_size_kb": ("budget.max_size_kb=1", 1.0),
    "max_latency_ms": ("budget.max_latency_ms=1e-9", 1e-9),
}


@pytest.mark.parametrize(("override", "allowed"), LIMITS.values(), ids=LIMITS)
def test_verify_holds_every_limit(run_stage, finished_run, override, allowed):
    name = override.split(".")[1].split("=")[0]
    _, result = run_stage("verify", override)
    scores = Workdir(finished_run[0]).record("verify")["result"]
    drop = (
        scores["models"]["teacher"]["accuracy"]
        - scores["files"]["int8"]["accuracy"]
    )
    kept = name == "max_score_drop" and drop <= 0
    assert len(result["missed"]) == (not kept)
    assert all(
        f"{name} missed: allowed {allowed:.6g}, measured " in missed
        for missed in result["missed"]
    )


def test_benchmark_measures_every_file(run_stage):
    _, result = run_stage("benchmark")
    assert set(result) == {
        "teacher",
        "control",
        "student",
        "pruned",
        "weight_only_int8",
        "int8",
    }
    assert all(row["p50_ms"] > 0 for row in result.values())
    assert result["int8"]["bytes"] < result["teacher"]["bytes"]


def test_report_delivers_the_verified_file(run_stage, finished_run):
    artefacts, result = run_stage("report")
    assert result == {"missed": [], "file": "student.tflite"}
    with open(artefacts["student.tflite"], "rb") as file:
        sealed = finished_run[0] / "tflite" / "candidate.tflite"
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
        (softmax_model, "ends in softmax. Allowed: logits"),
        (
            narrow_model,
            "has the wrong output width. Allowed: a logit for each class",
        ),
        (nan_model, "does not answer with numbers. Allowed: finite answers"),
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
    with pytest.raises(ValueError, match="one a channel, 1 here. Received"):
        run_stage("teach", "data.mean=[1, 2, 3]")


def test_data_of_another_task_is_refused(run_stage):
    with pytest.raises(ValueError, match="Allowed: task: classification"):
        run_stage("prepare", "task=segmentation")
