"""The examples of `docs/extending.md`, run as they stand there."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kd_tf import Distiller, soft_target_loss
from tests.conftest import ROOT
from tests.distillation.distiller_cases import evaluated

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
[IMPORTS, *BLOCKS] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
TITLES = re.findall(r"^## (.*)$", PAGE, flags=re.MULTILINE)
TESTED = [
    "A loss of your own in a subclass",
    "A teacher assistant",
    "A mean teacher",
    "Mutual learning",
    "A projector of your own",
    "Two teachers",
    "Labelled and unlabelled examples in one batch",
    "Exits of one model",
    "Outputs of a teacher that come with the data",
    "A training step of your own",
    "Weights that change while training",
    "Prune, recompile, fine-tune",
]
X = np.random.default_rng(0).normal(size=(12, 8, 8, 1)).astype("f")
Y = np.arange(12) % 3
UNLABELLED = np.random.default_rng(1).normal(size=X.shape).astype("f")


def convolution(name, width):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(width, 3, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="logits"),
        ],
        name=name,
    )


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What a reader has before the first line."""
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(1)
    widths = {"student": 2, "other_student": 2, "assistant": 3}
    widths |= {"teacher": 4, "other_teacher": 4}
    slices = tf.data.Dataset.from_tensor_slices
    names = {
        **{name: convolution(name, width) for name, width in widths.items()},
        "train": slices((X, Y)).batch(4),
        "validation": slices((X, Y)).batch(4),
        "unlabelled": slices(UNLABELLED).batch(4),
        "label_loss": keras.losses.SparseCategoricalCrossentropy(
            from_logits=True
        ),
    }
    exec(IMPORTS, names)
    return names


def run(title, names):
    exec(BLOCKS[TITLES.index(title)], names)


def values(model):
    return [np.array(weight) for weight in model.weights]


def assert_equal(arrays, others):
    for one, other in zip(arrays, others, strict=True):
        np.testing.assert_array_equal(one, other)


def has_moved(arrays, others):
    return any(map(np.any, map(np.not_equal, arrays, others)))


def soft(student, teacher, x=X, temperature=4.0):
    """The mean of `soft_target_loss`, which has tests of its own."""
    losses = soft_target_loss(student(x), teacher(x), temperature=temperature)
    return np.mean(losses)


def labels_alone(model, x=X, y=Y):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return float(loss(y, model(x)))


def printed(capsys):
    """Numbers that stand alone on a line, among the progress bars."""
    lines = capsys.readouterr().out.splitlines()
    return [float(s) for s in lines if re.fullmatch(r"[\d.]+", s.strip())]


def assert_falls(history, *losses):
    for name in losses:
        assert history[name][-1] < history[name][0]


def test_every_example_is_short_and_has_its_test():
    assert TITLES == TESTED
    assert len(BLOCKS) == len(TITLES)
    for code in BLOCKS:
        assert len([line for line in code.splitlines() if line.strip()]) <= 25


def test_own_loss_is_averaged_with_sample_weights(names):
    run("A loss of your own in a subclass", names)
    history = names["history"]
    assert_falls(history, "loss", "sure_loss")
    s, t = np.array(names["student"](X)), np.array(names["teacher"](X))
    p = np.exp(t) / np.exp(t).sum(axis=-1, keepdims=True)
    by_hand = p.max(axis=-1) * np.mean((s - t) ** 2, axis=-1)
    assert history["val_sure_loss"][-1] == pytest.approx(
        by_hand.mean(), rel=1e-4
    )
    weights = np.arange(12, dtype="f")
    logs = evaluated(names["distiller"], X, Y, sample_weight=weights)
    weighted = np.sum(weights * by_hand) / 12
    assert logs["sure_loss"] == pytest.approx(weighted, rel=1e-4)


def test_assistant_learns_from_the_teacher_and_teaches_the_student(names):
    models = [names[name] for name in ("teacher", "assistant", "student")]
    teacher, assistant, student = models
    before = values(teacher)
    start = keras.models.clone_model(student)
    start.set_weights(student.get_weights())
    far = soft(assistant, teacher)
    run("A teacher assistant", names)
    assert_equal(values(teacher), before)
    assert soft(assistant, teacher) < far
    assert soft(student, assistant) < soft(start, assistant)
    assert names["distiller"].teacher is assistant
    assert names["distiller"].student is student
    saved = keras.models.load_model("student.keras")
    np.testing.assert_allclose(saved(X), student(X), rtol=1e-5)


def test_mean_teacher_is_the_average_and_is_checkpointed(names):
    student = names["student"]
    names["train"] = names["train"].take(1)  # one step
    start = values(student)
    run("A mean teacher", names)
    teacher, distiller = names["teacher"], names["distiller"]
    averages = values(teacher)
    assert has_moved(averages, start)
    for mean, old, new in zip(averages, start, values(student), strict=True):
        np.testing.assert_allclose(
            mean, 0.99 * old + 0.01 * new, rtol=1e-5, atol=1e-7
        )
    for weight in teacher.weights:
        weight.assign(ops.zeros_like(weight))
    distiller.load_weights("run.weights.h5")
    assert_equal(values(teacher), averages)
    assert len(distiller.trainable_variables) == len(student.weights)
    saved = keras.models.load_model("student.keras")
    assert len(saved.weights) == len(student.weights)


def test_students_teach_each_other(names):
    students = names["student"], names["other_student"]
    before = [values(model) for model in students]
    apart = soft(*students, temperature=1)
    run("Mutual learning", names)
    history = names["history"]
    assert_falls(history, "loss", "soft_targets_loss", "soft_targets_loss_2")
    assert soft(*students, temperature=1) < apart
    for model, old in zip(students, before, strict=True):
        assert has_moved(values(model), old)
    logs = evaluated(names["distiller"], names["data"])
    forward, backward = (
        soft(*students, temperature=1),
        soft(*students[::-1], temperature=1),
    )
    assert logs["soft_targets_loss"] == pytest.approx(forward, rel=1e-3)
    assert logs["soft_targets_loss_2"] == pytest.approx(backward, rel=1e-3)
    assert logs["student_loss"] == pytest.approx(
        sum(map(labels_alone, students)), rel=1e-4
    )
    assert len(keras.models.load_model("student.keras").outputs) == 1


def test_own_projector_is_trained_along(names, capsys):
    run("A projector of your own", names)
    # From 2 channels to 8, and to the 4 of the teacher.
    assert printed(capsys) == [(2 * 8 + 8) + (8 * 4 + 4)]
    assert_falls(names["history"], "loss", "hint_loss")
    distiller, student = names["distiller"], names["student"]
    own = len(distiller.trainable_variables) - len(student.weights)
    assert own == 4


def test_each_loss_learns_from_its_own_teacher(names):
    run("Two teachers", names)
    assert_falls(names["history"], "loss")
    logs = evaluated(names["distiller"], X, Y)
    student = names["student"]
    first = soft(student, names["teacher"])
    second = soft(student, names["other_teacher"])
    assert logs["first_loss"] == pytest.approx(first, rel=1e-4)
    assert logs["second_loss"] == pytest.approx(second, rel=1e-4)
    total = 0.1 * labels_alone(student) + 0.9 * (0.7 * first + 0.3 * second)
    assert logs["loss"] == pytest.approx(total, rel=1e-4)


def test_labels_count_where_they_are_and_the_teacher_everywhere(names):
    run("Labelled and unlabelled examples in one batch", names)
    assert_falls(names["history"], "loss")
    student, teacher = names["student"], names["teacher"]
    logs = evaluated(names["distiller"], names["data"])
    assert logs["student_loss"] == pytest.approx(
        labels_alone(student), rel=1e-4
    )
    everywhere = soft(student, teacher, np.concatenate([X, UNLABELLED]))
    assert logs["soft_targets_loss"] == pytest.approx(everywhere, rel=1e-4)
    assert names["history"]["val_student_loss"][-1] == pytest.approx(
        labels_alone(student), rel=1e-4
    )


def test_late_exit_teaches_the_early_one(names):
    run("Exits of one model", names)
    assert_falls(names["history"], "loss", "student_loss")
    outputs = names["model"](X)
    by_hand = np.mean(soft_target_loss(outputs["early"], outputs["late"]))
    logs = evaluated(names["distiller"], names["data"])
    assert logs["soft_targets_loss"] == pytest.approx(by_hand, rel=1e-4)
    saved = keras.models.load_model("early.keras")
    np.testing.assert_allclose(saved(X), outputs["early"], rtol=1e-4, atol=1e-6)


def test_outputs_in_the_data_train_as_their_teacher_does(names):
    other = convolution("other", 2)
    other.set_weights(names["student"].get_weights())
    run("Outputs of a teacher that come with the data", names)
    student = names["student"]
    distiller = Distiller(other, names["teacher"], student_weight=0.1)
    distiller.compile("adam", names["label_loss"])
    history = distiller.fit(names["train"], epochs=5, verbose=0).history
    assert_falls(names["history"], "loss", "soft_targets_loss")
    assert names["history"].keys() == history.keys()
    for name, expected in history.items():
        np.testing.assert_allclose(
            names["history"][name], expected, rtol=1e-4, atol=1e-6
        )
    np.testing.assert_allclose(
        names["logits"], student(X), rtol=1e-4, atol=1e-6
    )


def test_own_step_trains_and_logs_all_losses_and_metrics(names):
    names["teacher"].trainable = True
    before = values(names["teacher"])
    run("A training step of your own", names)
    history = names["history"]
    expected = {"loss", "student_loss", "soft_targets_loss", "accuracy"}
    assert history.keys() == expected | {f"val_{name}" for name in expected}
    assert_falls(history, "val_loss", "val_soft_targets_loss")
    for total, labels, teacher in zip(
        *(history[n] for n in ("loss", "student_loss", "soft_targets_loss")),
        strict=True,
    ):
        assert total == pytest.approx(0.1 * labels + 0.9 * teacher, rel=1e-4)
    assert_equal(values(names["teacher"]), before)


def test_callback_changes_the_weight_each_epoch(names):
    run("Weights that change while training", names)
    assert names["distiller"].student_weight == pytest.approx(0.5)
    history = names["history"]
    for epoch, weight in enumerate([0.1, 0.3, 0.5]):
        by_hand = weight * history["student_loss"][epoch]
        by_hand += (1 - weight) * history["soft_targets_loss"][epoch]
        assert history["loss"][epoch] == pytest.approx(by_hand, rel=1e-4)


def test_zeros_hold_through_fine_tuning_and_loading(names, capsys):
    run("Prune, recompile, fine-tune", names)
    student, loaded = names["student"], names["loaded"]
    zeros = sum(int(np.sum(weight == 0)) for weight in values(student))
    by_hand = zeros / student.count_params()
    assert printed(capsys) == [pytest.approx(by_hand)]
    assert has_moved(values(loaded), values(student))
    for name in ("conv", "logits"):
        kernel = np.array(student.get_layer(name).kernel)
        assert np.mean(kernel == 0) == pytest.approx(0.5, abs=0.01)
        after = np.array(loaded.get_layer(name).kernel)
        np.testing.assert_array_equal(after == 0, kernel == 0)
