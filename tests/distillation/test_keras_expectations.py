"""What a user of Keras takes for granted also holds for a Distiller.

Shapes: B examples, T steps, H rows, W columns, C classes.
"""

import contextlib
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from kd_tf import Distiller, LossTerm, soft_target_loss
from kd_tf.losses import response
from kd_tf.schedules import linear
from tests.conftest import ROOT

LABEL_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
HINT = LossTerm("hint", pairs=[("hidden", "hidden")])


def kernel(seed):
    return keras.initializers.RandomNormal(stddev=0.5, seed=seed)


def mlp(seed, *, width=5, dropout=0.0, inputs=4):
    """3 classes; the same seed gives the same weights and the same dropout."""
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(
                width, kernel_initializer=kernel(10 * seed), name="hidden"
            ),
            keras.layers.Dropout(dropout, seed=seed),
            keras.layers.Dense(3, kernel_initializer=kernel(10 * seed + 1)),
        ]
    )


def conv(seed, width, strides=1, size=8):
    """An output for each image, 3 classes."""
    return keras.Sequential(
        [
            keras.Input((size, size, 1)),
            keras.layers.Conv2D(
                width,
                3,
                strides,
                padding="same",
                kernel_initializer=kernel(10 * seed),
                name="hidden",
            ),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, kernel_initializer=kernel(10 * seed + 1)),
        ]
    )


def data(count=6, shape=(4,)):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, *shape)).astype("f")
    return x, np.arange(count) % 3


def distil(losses="soft_targets", *, models=None, weight=0.3, **options):
    """A compiled Distiller; the same arguments give the same one."""
    keras.utils.set_random_seed(0)  # adapters draw from the global one
    student, teacher = models or (mlp(1), mlp(2, width=7))
    distiller = Distiller(student, teacher, losses, student_weight=weight)
    given = {"optimizer": keras.optimizers.SGD(0.1), "loss": LABEL_LOSS}
    distiller.compile(**{**given, **options})
    return distiller


def evaluated(distiller, *arguments, **options):
    return distiller.evaluate(
        *arguments, **options, verbose=0, return_dict=True
    )


def fitted(distiller, count=6, epochs=2, **options):
    """The history of batches of 3, in order."""
    x, y = data(count)
    return distiller.fit(
        *(x, y),
        **{"batch_size": 3, **options},
        epochs=epochs,
        shuffle=False,
        verbose=0,
    ).history


def values(variables):
    return [variable.numpy() for variable in variables]


def assert_close(variables, others, **tolerance):
    for one, other in zip(values(variables), values(others), strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


def soft(student, teacher, temperature=4.0):
    """The mean of `soft_target_loss`, which has tests of its own."""
    return np.mean(soft_target_loss(student, teacher, temperature=temperature))


@contextlib.contextmanager
def policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


# Callbacks, which see a Keras model like any other.


def test_early_stopping_restores_the_best_weights():
    # Uphill, every epoch is worse than the one before.
    distiller = distil(
        ["soft_targets", HINT], optimizer=keras.optimizers.SGD(-0.1)
    )
    x, y = data()
    stop = keras.callbacks.EarlyStopping(
        "val_loss", patience=2, restore_best_weights=True
    )
    losses = fitted(
        distiller, epochs=9, validation_data=(x, y), callbacks=[stop]
    )["val_loss"]
    assert len(losses) == 3
    assert losses[0] < losses[1] < losses[2]
    assert evaluated(distiller, x, y)["loss"] == pytest.approx(losses[0])


def test_checkpoint_keeps_the_student_alone(tmp_path):
    distiller = distil(["soft_targets", HINT])
    saver = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", "loss")
    fitted(distiller, callbacks=[saver])
    loaded = keras.models.load_model(tmp_path / "best.keras")
    assert_close(loaded.weights, distiller.student.weights)


def test_checkpoint_of_weights_loads_into_an_equal_distiller(tmp_path):
    path = tmp_path / "last.weights.h5"
    distiller = distil(["soft_targets", HINT])
    saver = keras.callbacks.ModelCheckpoint(
        path, "loss", save_weights_only=True
    )
    fitted(distiller, callbacks=[saver])
    other = distil(["soft_targets", HINT], models=(mlp(3), mlp(2, width=7)))
    other.load_weights(path)
    # Two layers of the student, one adapter, a kernel and a bias each.
    assert len(other.weights) == 6
    assert_close(other.weights, distiller.weights)
    assert evaluated(other, *data()) == pytest.approx(
        evaluated(distiller, *data())
    )


def test_tensorboard_gets_every_loss(tmp_path):
    pytest.importorskip("tensorboard")
    board = keras.callbacks.TensorBoard(tmp_path)
    fitted(distil(["soft_targets", HINT]), callbacks=[board])
    [written] = tmp_path.glob("train/events*")
    for name in ("loss", "student_loss", "soft_targets_loss", "hint_loss"):
        assert f"epoch_{name}".encode() in written.read_bytes()


class Killed(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_training_resumed_from_a_backup_ends_as_if_never_interrupted(tmp_path):
    def make():
        return distil(
            ["soft_targets", HINT],
            models=(mlp(1, dropout=0.5), mlp(2, width=7)),
            optimizer=keras.optimizers.Adam(0.1),
        )

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    whole = make()
    fitted(whole, epochs=4)
    with pytest.raises(KeyboardInterrupt):
        fitted(make(), epochs=4, callbacks=[backup(), Killed()])
    resumed = make()
    history = fitted(resumed, epochs=4, callbacks=[backup()])
    assert len(history["loss"]) == 2
    assert len(whole.weights) == 6
    assert_close(resumed.weights, whole.weights, rtol=1e-6)
    assert_close(
        resumed.optimizer.variables, whole.optimizer.variables, rtol=1e-6
    )


# Ways to run a step.


@pytest.mark.parametrize(
    "option",
    [
        {"steps_per_execution": 2},
        {"run_eagerly": True},
        {"jit_compile": True},
    ],
)
def test_a_step_is_the_same_however_it_runs(option):
    losses = [
        "soft_targets",
        HINT,
        LossTerm("rkd_distance", pairs=[("hidden", "hidden")]),
    ]
    x, y = data(8, (8, 8, 1))
    histories = []
    for chosen in ({}, option):
        models = conv(1, 2, strides=2), conv(2, 3)
        distiller = distil(losses, models=models, **chosen)
        fit = distiller.fit(
            x, y, batch_size=4, epochs=2, shuffle=False, verbose=0
        )
        histories.append(fit.history)
    assert histories[0].keys() == histories[1].keys()
    assert len(histories[0]) == 5
    for name, expected in histories[0].items():
        np.testing.assert_allclose(histories[1][name], expected, rtol=1e-4)


# Options of the optimizer.


def test_learning_rate_schedule_is_followed():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [0], [0.1, 0.0]
    )
    scheduled = distil(optimizer=keras.optimizers.SGD(schedule))
    fitted(scheduled, count=9, epochs=1)
    once = distil()
    fitted(once, count=3, epochs=1)  # the first batch is the same
    assert_close(scheduled.weights, once.weights, rtol=1e-6)


def test_global_clipnorm_is_over_student_and_adapters():
    distiller = distil(
        ["soft_targets", HINT],
        optimizer=keras.optimizers.SGD(1.0, global_clipnorm=1e-2),
    )
    before = values(distiller.trainable_variables)
    fitted(distiller, count=3, epochs=1)
    after = values(distiller.trainable_variables)
    steps = [np.sum((a - b) ** 2) for a, b in zip(after, before, strict=True)]
    assert len(steps) == 6
    assert np.sqrt(np.sum(steps)) == pytest.approx(1e-2, rel=1e-3)


def test_moving_averages_of_the_weights_end_in_the_student():
    after_one, after_two = distil(), distil()
    fitted(after_one, count=3, epochs=1)
    fitted(after_two, count=6, epochs=1)
    averaged = distil(
        optimizer=keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.25)
    )
    fitted(averaged, count=6, epochs=1)
    # The average begins with the weights after the first step.
    for mean, one, two in zip(
        *(values(d.student.weights) for d in (averaged, after_one, after_two)),
        strict=True,
    ):
        np.testing.assert_allclose(mean, 0.25 * one + 0.75 * two, rtol=1e-5)


def test_accumulated_gradients_make_the_step_of_a_larger_batch():
    losses = ["soft_targets", HINT]
    accumulated = distil(
        losses,
        optimizer=keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
    )
    fitted(accumulated, count=6, epochs=1)
    at_once = distil(losses)
    fitted(at_once, count=6, epochs=1, batch_size=6)
    start = distil(losses)
    assert np.any(start.weights[0].numpy() != at_once.weights[0].numpy())
    assert_close(accumulated.weights, at_once.weights, rtol=1e-5, atol=1e-7)


# Weights of examples, of classes and of pixels; masks.


def test_class_weights_weigh_all_losses_as_sample_weights_do():
    losses = ["soft_targets", HINT]
    by_class = fitted(distil(losses), class_weight={0: 0.5, 1: 2.0, 2: 1.0})
    by_sample = fitted(distil(losses), sample_weight=np.tile([0.5, 2, 1], 2))
    for name, expected in by_sample.items():
        np.testing.assert_allclose(by_class[name], expected, rtol=1e-6)
    unweighted = fitted(distil(losses))
    assert np.all(np.not_equal(unweighted["hint_loss"], by_sample["hint_loss"]))


def test_sample_weights_weigh_a_feature_loss_by_hand():
    distiller, (x, y) = distil(HINT, models=(mlp(1), mlp(2))), data()
    weights = np.array([1, 0, 2, 1, 0, 3], "f")
    logs = evaluated(distiller, x, y, sample_weight=weights)
    hidden = [m.layers[0](x) for m in (distiller.student, distiller.teacher)]
    squares = np.mean(np.square(hidden[0] - hidden[1]), axis=-1)
    by_hand = np.sum(weights * squares) / 6
    assert logs["hint_loss"] == pytest.approx(by_hand, rel=1e-5)


def embedded(seed):
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(
                7, 4, mask_zero=True, embeddings_initializer=kernel(seed)
            ),
            keras.layers.Dense(3, kernel_initializer=kernel(seed + 1)),
        ]
    )


def masking(seed):
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            keras.layers.Masking(),
            keras.layers.Dense(3, kernel_initializer=kernel(seed)),
        ]
    )


@pytest.mark.parametrize("make", [embedded, masking])
@pytest.mark.parametrize("weights", [None, [2.0, 0.5]])
def test_masked_steps_count_nothing(make, weights):
    kept = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]])
    x = kept * [[3, 1, 2, 5, 6], [6, 2, 3, 4, 1]]
    if make is masking:
        x = np.random.default_rng(0).normal(size=(2, 5, 4)) * kept[..., None]
    student, teacher = make(0), make(10)
    distiller = distil(models=(student, teacher), weight=0, loss=None)
    weights = None if weights is None else np.array(weights)
    dataset = tf.data.Dataset.from_tensors(
        (x,) if weights is None else (x, np.zeros((2, 5)), weights)
    )
    loss = evaluated(distiller, dataset)["soft_targets_loss"]
    steps = kept if weights is None else kept * weights[:, None]
    losses = np.array(soft_target_loss(student(x), teacher(x)))
    by_hand = np.sum(steps * losses) / np.sum(kept)
    assert loss == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("loss", ["rkd_distance", "correlation_congruence"])
def test_a_loss_on_whole_examples_takes_masked_sequences(loss):
    x = np.random.default_rng(0).normal(size=(4, 5, 4)).astype("f")
    x[:, 3:] = 0
    distiller = distil(loss, models=(masking(0), masking(1)), weight=0)
    assert evaluated(distiller, x)["loss"] > 0


def per_pixel(seed):
    return keras.Sequential(
        [
            keras.Input((4, 6, 1)),
            keras.layers.Conv2D(
                3, 3, padding="same", kernel_initializer=kernel(seed)
            ),
        ]
    )


@pytest.mark.parametrize("shape", [(2,), (2, 4, 6), (2, 1, 6)])
def test_pixels_are_weighed_by_hand(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 6, 1)).astype("f")
    y = rng.integers(0, 3, (2, 4, 6))
    weights = rng.uniform(size=shape).astype("f")
    student, teacher = per_pixel(0), per_pixel(1)
    # Keras's own loss on labels refuses one weight for many outputs.
    loss = None if shape == (2,) else LABEL_LOSS
    logs = evaluated(
        distil(models=(student, teacher), weight=0, loss=loss),
        *(x, y),
        sample_weight=weights,
    )
    spread = np.broadcast_to(
        weights.reshape(2, 1, 1) if len(shape) == 1 else weights, (2, 4, 6)
    )
    z, t = (np.array(model(x)) / 4 for model in (student, teacher))
    z, t = (a - np.log(np.exp(a).sum(-1, keepdims=True)) for a in (z, t))
    losses = 16 * np.sum(np.exp(t) * (t - z), axis=-1)
    by_hand = np.sum(spread * losses) / (2 * 4 * 6)
    assert logs["soft_targets_loss"] == pytest.approx(by_hand, rel=1e-4)


def test_a_loss_on_whole_examples_takes_their_mean_pixel_weight():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 4, 6, 1)).astype("f"), np.zeros((4, 4, 6), int)
    weights = rng.uniform(size=(4, 4, 6)).astype("f")
    models = per_pixel(0), per_pixel(1)
    by_pixel, by_image = (
        evaluated(
            distil("rkd_distance", models=models, weight=0, loss=None),
            *(x, y),
            sample_weight=given,
        )["loss"]
        for given in (weights, weights.mean(axis=(1, 2)))
    )
    assert by_pixel == pytest.approx(by_image, rel=1e-5)


# Targets and outputs of every kind.


def one_hot(y):
    return np.eye(3, dtype="f")[y]


@pytest.mark.parametrize(
    ("encode", "loss"),
    [
        (lambda y: y, LABEL_LOSS),
        (lambda y: y[:, None], LABEL_LOSS),
        (lambda y: [y], LABEL_LOSS),
        (one_hot, keras.losses.CategoricalCrossentropy(from_logits=True)),
        (one_hot, "mse"),
    ],
)
def test_targets_may_be_classes_or_one_hot(encode, loss):
    x, y = data()
    logs = evaluated(distil("decoupled", loss=loss), x, encode(y))
    plain = mlp(1)
    plain.compile(loss=loss)
    expected = plain.evaluate(x, encode(y), verbose=0)
    assert logs["student_loss"] == pytest.approx(expected, rel=1e-5)
    by_hand = np.mean(
        response.decoupled_loss(plain(x), mlp(2, width=7)(x), labels=y)
    )
    assert logs["decoupled_loss"] == pytest.approx(by_hand, rel=1e-5)


def two_outputs(seed, nest):
    x = keras.Input((4,))
    outputs = [
        keras.layers.Dense(3, kernel_initializer=kernel(seed + i), name=name)(x)
        for i, name in enumerate("ab")
    ]
    return keras.Model(x, nest(outputs))


def as_dict(outputs):
    return dict(zip("ab", outputs, strict=True))


@pytest.mark.parametrize("nest", [list, as_dict])
@pytest.mark.parametrize(
    ("losses", "counted"),
    [
        ("soft_targets", {"soft_targets_loss": "ab"}),
        ({"a": "soft_targets", "b": None}, {"soft_targets_loss_a": "a"}),
        (
            {"a": ["soft_targets"], "b": LossTerm("soft_targets", name="z")},
            {"soft_targets_loss_a": "a", "z_b": "b"},
        ),
    ],
)
def test_losses_by_output(losses, counted, nest):
    models = two_outputs(0, nest), two_outputs(5, nest)
    x, _ = data()
    logs = evaluated(distil(losses, models=models, weight=0), x)
    student, teacher = (
        dict(zip("ab", tf.nest.flatten(model(x)), strict=True))
        for model in models
    )
    by_hand = {
        name: sum(soft(student[output], teacher[output]) for output in outputs)
        for name, outputs in counted.items()
    }
    by_hand["loss"] = sum(by_hand.values())
    assert logs == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize(
    ("output", "label"), [(list, list), (list, as_dict), (as_dict, as_dict)]
)
def test_labels_losses_and_weights_by_output(output, label):
    models = two_outputs(0, output), two_outputs(5, output)
    x, y = data()
    other, weights = (y + 1) % 3, np.ones(6, "f")
    given = {}
    if output is label:  # Keras's own loss on labels refuses the rest
        weights = np.array([1, 0, 2, 1, 0, 3], "f")
        given["sample_weight"] = label([weights, np.ones(6, "f")])
    distiller = distil(
        "decoupled",
        models=models,
        loss={"a": LABEL_LOSS, "b": LABEL_LOSS},
        metrics={"a": ["accuracy"], "b": []},
    )
    logs = evaluated(distiller, x, label([y, other]), **given)
    student, teacher = (tf.nest.flatten(model(x)) for model in models)
    first, second = (
        np.array(response.decoupled_loss(*logits, labels=labels))
        for *logits, labels in zip(student, teacher, (y, other), strict=True)
    )
    by_hand = np.mean(weights * first) + np.mean(second)
    assert logs["decoupled_loss"] == pytest.approx(by_hand, rel=1e-5)
    first, second = (
        np.array(LABEL_LOSS.call(labels, logits))
        for labels, logits in zip((y, other), student, strict=True)
    )
    by_hand = np.mean(weights * first) + np.mean(second)
    assert logs["student_loss"] == pytest.approx(by_hand, rel=1e-5)
    assert "a_accuracy" in logs


def test_data_needs_no_labels_where_they_weigh_nothing():
    (x, _), student, teacher = data(), mlp(1), mlp(2, width=7)
    distiller = Distiller(student, teacher, student_weight=0)
    distiller.compile(keras.optimizers.SGD(0.0))
    history = distiller.fit(x, validation_data=(x, None), verbose=0).history
    by_hand = soft(student(x), teacher(x))
    names = "loss", "soft_targets_loss", "val_loss", "val_soft_targets_loss"
    assert history == {n: [pytest.approx(by_hand, rel=1e-5)] for n in names}
    assert evaluated(distiller, x)["loss"] == pytest.approx(by_hand, rel=1e-5)


# Models of every kind.


def test_defaults_are_soft_targets_at_4_and_a_tenth_for_labels():
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    distiller = Distiller(student, teacher)
    distiller.compile("adam", LABEL_LOSS)
    labels = np.mean(LABEL_LOSS.call(y, student(x)))
    by_hand = 0.1 * labels + 0.9 * soft(student(x), teacher(x))
    assert evaluated(distiller, x, y)["loss"] == pytest.approx(
        by_hand, rel=1e-5
    )
    np.testing.assert_allclose(
        distiller.predict(x, verbose=0), student(x), rtol=1e-5
    )
    np.testing.assert_allclose(distiller(x), student(x), rtol=1e-5)


class Subclassed(keras.Model):
    def __init__(self, seed):
        super().__init__()
        self.inner = mlp(seed)

    def call(self, x, training=None):
        return self.inner(x, training=training)


def test_subclassed_models_are_distilled_on_their_outputs():
    x, _ = data()
    models = Subclassed(1), Subclassed(2)
    history = fitted(distil(models=models), epochs=1, batch_size=6)
    by_hand = soft(mlp(1)(x), mlp(2)(x))
    assert history["soft_targets_loss"] == [pytest.approx(by_hand, rel=1e-5)]
    with pytest.raises(ValueError, match="has no layers to tap"):
        distil(HINT, models=(Subclassed(1), Subclassed(2)))


def test_teacher_takes_a_larger_image_than_the_student():
    def enlarge(x):
        return ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)

    student, teacher = conv(1, 2, size=4), conv(2, 3)
    distiller = Distiller(
        student,
        teacher,
        ["soft_targets", HINT],
        student_weight=0,
        teacher_input=enlarge,
    )
    distiller.compile()
    x, _ = data(4, (4, 4, 1))
    by_hand = soft(student(x), teacher(np.kron(x, np.ones((1, 2, 2, 1)))))
    logs = evaluated(distiller, x)
    assert logs["soft_targets_loss"] == pytest.approx(by_hand, rel=1e-4)


def two_inputs(seed):
    x = {"p": keras.Input((4,), name="p"), "q": keras.Input((2,), name="q")}
    hidden = keras.layers.Dense(
        5, kernel_initializer=kernel(seed), name="hidden"
    )(keras.layers.Concatenate()([x["p"], x["q"]]))
    logits = keras.layers.Dense(3, kernel_initializer=kernel(seed + 1))(hidden)
    return keras.Model(x, logits)


def test_inputs_may_be_a_dict():
    student, teacher, (p, y) = two_inputs(0), two_inputs(5), data()
    x = {"p": p, "q": p[:, :2]}
    distiller = distil(["soft_targets", HINT], models=(student, teacher))
    by_hand = soft(student(x), teacher(x))
    losses = distiller.fit(x, y, verbose=0).history["soft_targets_loss"]
    assert losses == [pytest.approx(by_hand, rel=1e-5)]
    np.testing.assert_allclose(
        distiller.predict(x, verbose=0), student(x), rtol=1e-5
    )


def test_teacher_runs_in_inference_mode_while_the_student_trains():
    (x, _), inner = data(), mlp(2, dropout=0.5)
    teacher = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization(), inner]
    )
    before = values(teacher.variables)
    student = mlp(1)
    by_hand = soft(student(x), teacher(x, training=False))
    history = fitted(distil(models=(student, teacher)), epochs=1, batch_size=6)
    assert history["soft_targets_loss"] == [pytest.approx(by_hand, rel=1e-5)]
    for old, variable in zip(before, teacher.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


# Precision.


@pytest.mark.parametrize(
    ("of_student", "of_teacher"),
    [
        ("mixed_float16", "mixed_float16"),
        ("mixed_bfloat16", "mixed_bfloat16"),
        ("mixed_float16", "float32"),
        ("float32", "mixed_bfloat16"),
    ],
)
def test_models_of_any_precision_step_as_in_float32(of_student, of_teacher):
    with policy(of_student):
        student = mlp(1)
    with policy(of_teacher):
        teacher = mlp(2, width=7)
    losses = ["soft_targets", HINT]
    coarse, exact = distil(losses, models=(student, teacher)), distil(losses)
    is_scaled = isinstance(
        coarse.optimizer, keras.optimizers.LossScaleOptimizer
    )
    assert is_scaled == (of_student == "mixed_float16")
    start = values(exact.weights)
    expected = fitted(exact)["loss"]
    np.testing.assert_allclose(fitted(coarse)["loss"], expected, rtol=0.02)
    for old, rough, new in zip(
        *(start, values(coarse.weights), values(exact.weights)), strict=True
    ):
        assert np.abs(rough - new).max() < 0.1 * np.abs(new - old).max()


def test_prediction_leaves_the_casting_of_inputs_to_the_student():
    with policy("mixed_float16"):
        student = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Rescaling(1e-6, dtype="float32"),
                mlp(1),
            ]
        )
    x = 1e6 * data()[0]  # more than float16 can say
    logits = distil(models=(student, mlp(2))).predict(x, verbose=0)
    assert np.isfinite(logits).all()
    np.testing.assert_array_equal(logits, student.predict(x, verbose=0))


# Keras's own distillation losses.

DIVERGENCE = keras.losses.KLDivergence()


class Difference(keras.distillation.DistillationLoss):
    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        return ops.mean(ops.abs(teacher_outputs - student_outputs))


def difference_of_hidden(student, teacher, x):
    return np.mean(np.square(student.layers[0](x) - teacher.layers[0](x)))


@pytest.mark.parametrize(
    ("loss", "by_hand"),
    [
        (
            keras.distillation.LogitsDistillation(3.0, DIVERGENCE),
            lambda student, teacher, x: soft(student(x), teacher(x), 3.0),
        ),
        (
            keras.distillation.FeatureDistillation("mse", "hidden", "hidden"),
            difference_of_hidden,
        ),
        (
            Difference(),
            lambda student, teacher, x: np.mean(
                np.abs(student(x) - teacher(x))
            ),
        ),
    ],
)
def test_keras_losses_are_taken_as_they_are(loss, by_hand):
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    expected = by_hand(student, teacher, x)
    logs = evaluated(distil(loss, models=(student, teacher)), x, y)
    assert logs[type(loss).__name__] == pytest.approx(expected, rel=1e-4)
    history = fitted(distil(loss, models=(student, teacher)), epochs=4)
    losses = history[type(loss).__name__]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "losses",
    [
        keras.distillation.LogitsDistillation(3.0, [DIVERGENCE, None]),
        {"a": keras.distillation.LogitsDistillation(3.0, DIVERGENCE)},
    ],
)
def test_keras_losses_of_several_outputs(losses):
    models = two_outputs(0, list), two_outputs(5, list)
    (x, _), (student, teacher) = data(), models
    logs = evaluated(distil(losses, models=models, weight=0), x)
    by_hand = soft(student(x)[0], teacher(x)[0], 3.0)
    assert logs["loss"] == pytest.approx(by_hand, rel=1e-4)


# Schedules.


def test_schedules_follow_the_number_of_updates():
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    loss_term = LossTerm(
        "soft_targets",
        temperature=linear(4.0, 1.0, 4),
        weight=lambda step: 1 + step,
    )
    # Nothing moves but the schedules.
    distiller = distil(
        loss_term,
        models=(student, teacher),
        weight=linear(0.0, 1.0, 8),
        optimizer=keras.optimizers.SGD(0.0),
    )
    labels = np.mean(LABEL_LOSS.call(y, student(x)))
    for temperature, weight, share in [(4, 1, 0), (2.5, 3, 0.25), (1, 5, 0.5)]:
        by_hand = soft(student(x), teacher(x), temperature)
        logs = evaluated(distiller, x, y)
        assert logs["soft_targets_loss"] == pytest.approx(by_hand, rel=1e-4)
        total = share * labels + (1 - share) * weight * by_hand
        assert logs["loss"] == pytest.approx(total, rel=1e-4)
        fitted(distiller, count=6, epochs=1)  # two updates


def test_schedules_count_under_loss_scaling():
    with policy("mixed_float16"):
        student = mlp(1)
    distiller = distil(models=(student, mlp(2)), weight=linear(0.0, 1.0, 4))
    fitted(distiller, epochs=1)
    assert float(distiller.loss_weights(["student_loss"])["student_loss"]) > 0


# Subclasses.


class Shrinking(Distiller):
    """Minimizes the logits, too."""

    def compute_losses(self, x, y, student, teacher, sample_weight):
        losses = super().compute_losses(x, y, student, teacher, sample_weight)
        zeros = ops.zeros_like(student.outputs)
        size = keras.losses.MeanSquaredError()(zeros, student.outputs)
        return {**losses, "size": size}


def test_a_loss_added_by_a_subclass_is_counted_and_shown():
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    distiller = Shrinking(student, teacher, student_weight=0.3)
    distiller.compile(keras.optimizers.SGD(0.0), LABEL_LOSS)
    history = distiller.fit(
        x, y, validation_data=(x, y), epochs=2, batch_size=4, verbose=0
    ).history
    size = np.mean(np.square(student(x)))
    for prefix in ("", "val_"):
        assert history[f"{prefix}size"] == [pytest.approx(size, rel=1e-5)] * 2
        labels = np.mean(LABEL_LOSS.call(y, student(x)))
        by_hand = 0.3 * labels + 0.7 * (soft(student(x), teacher(x)) + size)
        assert (
            history[f"{prefix}loss"] == [pytest.approx(by_hand, rel=1e-5)] * 2
        )


def test_a_subclass_may_combine_in_its_own_way():
    class Product(Distiller):
        def combine(self, losses):
            return losses["student_loss"] * losses["soft_targets_loss"]

    distiller = Product(mlp(1), mlp(2))
    distiller.compile(keras.optimizers.SGD(0.1), LABEL_LOSS)
    logs = evaluated(distiller, *data())
    assert logs["loss"] == pytest.approx(
        logs["student_loss"] * logs["soft_targets_loss"], rel=1e-5
    )
    losses = fitted(distiller, epochs=4)["loss"]
    assert losses[-1] < losses[0]


# Several devices.

ON_DEVICES = """
import contextlib, json
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
two = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
tf.config.set_logical_device_configuration(cpu, two)
import keras
from tests.distillation import test_keras_expectations as here

def run(scope):
    with scope:
        student, teacher = here.conv(1, 2, strides=2), here.conv(2, 3)
        student.layers[-1].kernel.regularizer = keras.regularizers.L2(0.1)
        keras.utils.set_random_seed(0)
        theirs = [
            keras.distillation.LogitsDistillation(2.0, loss)
            for loss in (keras.losses.KLDivergence(), "mse")
        ]
        losses = ["soft_targets", here.HINT, *theirs]
        distiller = here.Shrinking(
            student, teacher, losses, student_weight=0.3
        )
        distiller.compile(keras.optimizers.SGD(0.5), here.LABEL_LOSS)
    x, y = here.data(8, (8, 8, 1))
    fit = distiller.fit(
        x, y, batch_size=4, epochs=2, shuffle=False, verbose=0,
        validation_data=(x, y),
    )
    weights = [w.numpy().ravel().tolist() for w in distiller.weights]
    return {"history": fit.history, "weights": weights}

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
runs = [run(contextlib.nullcontext()), run(strategy.scope())]
print("RUNS " + json.dumps(runs))
"""


def test_two_devices_train_as_one():
    done = subprocess.run(
        [sys.executable, "-c", ON_DEVICES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    [line] = [s for s in done.stdout.splitlines() if s.startswith("RUNS ")]
    one, two = json.loads(line.removeprefix("RUNS "))
    names = {"student_loss", "soft_targets_loss", "hint_loss", "size"}
    names |= {"regularization_loss", "loss"}
    names |= {"LogitsDistillation", "LogitsDistillation_2"}
    assert two["history"].keys() == names | {f"val_{name}" for name in names}
    for name, expected in one["history"].items():
        np.testing.assert_allclose(
            two["history"][name], expected, rtol=1e-4, atol=1e-6
        )
    for weights, expected in zip(two["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-6)


# What is refused: what is wrong, what to do, what was received.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Distiller(mlp(1), mlp(2), "soft_target"),
            "There is no loss 'soft_target'. Allowed: soft_targets, .*"
            "Received: 'soft_target'",
        ),
        (
            lambda: Distiller(mlp(1), mlp(2), 3),
            "A loss must be a name, a function .* Received: 3",
        ),
        (
            lambda: Distiller(mlp(1), mlp(2), []),
            r"nothing to learn .* Give at least one loss. Received: .*\[\]",
        ),
        (
            lambda: Distiller(mlp(1), mlp(2), {"a": None}),
            "nothing to learn .* Give at least one loss. Received: ",
        ),
        (
            lambda: Distiller(mlp(1), "teacher.keras"),
            "`teacher` must be a keras.Model. Received: 'teacher.keras'",
        ),
        *(
            (
                lambda w=w: Distiller(mlp(1), mlp(2), student_weight=w),
                rf"`student_weight` must lie in \[0, 1\].* Received: .*={w}",
            )
            for w in (-0.1, 1.1, float("nan"))
        ),
        *(
            (
                lambda t=t: LossTerm("soft_targets", temperature=t),
                f"`temperature` must be greater than 0.* Received: .*={t}",
            )
            for t in (0, -1.0, float("nan"))
        ),
        (
            lambda: distil().fit(data()[0], verbose=0),
            "There is no loss on labels. Give data .* Received: .*0.3",
        ),
        (
            lambda: distil(loss=None).fit(*data(), verbose=0),
            "There is no loss on labels. Give data .* Received: .*0.3",
        ),
        (
            lambda: distil("decoupled", weight=0).fit(data()[0], verbose=0),
            "'decoupled_loss' needs labels. Give data .* Received: none",
        ),
        (
            lambda: distil(lambda s, t: ops.mean(s - t)).fit(*data()),
            "must give one value an example, .* Received: a scalar",
        ),
        (
            lambda: distil({"c": "soft_targets"}).fit(*data(), verbose=0),
            "no output 'c'. Allowed: .* Received: 'c'",
        ),
    ],
)
def test_refused_with_the_remedy_and_what_was_received(make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()


def test_losses_of_one_name_get_different_names():
    loss_terms = [LossTerm("soft_targets", temperature=t) for t in (1.0, 2.0)]
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    distiller = distil(
        [*loss_terms, LossTerm("rkd_distance", name="loss")],
        models=(student, teacher),
    )
    logs = evaluated(distiller, x, y)
    assert logs.keys() == {
        *("loss", "student_loss", "loss_2"),
        *("soft_targets_loss", "soft_targets_loss_2"),
    }
    names = "soft_targets_loss", "soft_targets_loss_2"
    for name, temperature in zip(names, (1, 2), strict=True):
        by_hand = soft(student(x), teacher(x), temperature)
        assert logs[name] == pytest.approx(by_hand, rel=1e-5)
    assert [loss_term.name for loss_term in loss_terms] == [
        "soft_targets_loss"
    ] * 2


def test_an_output_that_no_model_has_is_refused_at_once():
    student, teacher = two_outputs(1, as_dict), two_outputs(2, as_dict)
    with pytest.raises(ValueError, match=r"no output 'c'. Allowed: 'a', 'b'"):
        Distiller(student, teacher, {"c": "soft_targets"})


def test_a_loss_of_keras_on_softmax_outputs_is_refused():
    teacher = keras.Sequential([mlp(2), keras.layers.Softmax()])
    loss = keras.distillation.LogitsDistillation(2.0)
    with pytest.raises(ValueError, match="The teacher ends in softmax"):
        Distiller(mlp(1), teacher, loss)


@pytest.mark.parametrize("name", ["soft_targets", "decoupled", "dist"])
def test_one_logit_is_no_softmax(name):
    def binary(seed):
        return keras.Sequential([mlp(seed), keras.layers.Dense(1)])

    x, y = data()
    distiller = Distiller(binary(1), binary(2), name, student_weight=0.0)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="For one logit use 'sigmoid_targets'"):
        distiller.fit(x, y % 2, verbose=0)


def test_a_loss_that_was_not_reduced_is_refused():
    class Careless(Distiller):
        def compute_losses(self, x, y, student, teacher, sample_weight):
            loss = response.soft_target_loss(student.outputs, teacher.outputs)
            return {"mine": loss}

    distiller = Careless(mlp(1), mlp(2), student_weight=0)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="'mine' must be reduced to a scalar"):
        distiller.fit(*data(), verbose=0)


def test_weights_of_a_subclass_are_saved_too(tmp_path):
    class Weighing(Distiller):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.built = False
            self.own = self.add_weight(shape=(), initializer="zeros")
            self.built = True

        def combine(self, losses):
            return ops.exp(-self.own) * super().combine(losses) + self.own

    first, second = (Weighing(mlp(1, dropout=0.5), mlp(2)) for _ in range(2))
    first.compile(keras.optimizers.SGD(0.1), LABEL_LOSS)
    first.fit(*data(), verbose=0)
    assert float(first.own) != 0
    first.save_weights(tmp_path / "all.weights.h5")
    second.load_weights(tmp_path / "all.weights.h5")
    assert float(second.own) == float(first.own)


def test_a_teacher_that_would_be_trained_is_refused():
    x = keras.Input((4,))
    shared = keras.layers.Dense(5, name="shared")
    student, teacher = (
        keras.Model(x, keras.layers.Dense(3)(shared(x))) for _ in range(2)
    )
    with pytest.raises(ValueError, match=r"would train its teacher.*shared/k"):
        Distiller(student, teacher)
    shared.trainable = False
    Distiller(student, teacher)


def test_a_teacher_with_further_outputs_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"keras.Model\(teacher.inputs, "):
        Distiller(mlp(1), two_outputs(2, list))


def test_weights_of_examples_may_be_arrays():
    distiller = distil([HINT], models=(conv(1, 2), conv(2, 3)), weight=0.0)
    x, y = data(4, (8, 8, 1))
    distiller.compile(keras.optimizers.SGD(0.1), LABEL_LOSS, run_eagerly=True)
    logs = distiller.train_on_batch(
        x, y, sample_weight=np.zeros(4), return_dict=True
    )
    assert logs["hint_loss"] == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"student_weight": "0.5"}, "student_weight='0.5'"),
        ({"teacher_input": (9, 9)}, "must be a function of the student's"),
    ],
)
def test_options_of_the_wrong_type_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        Distiller(mlp(1), mlp(2), **option)


def test_pairs_are_on_record():
    distiller = distil([HINT], models=(conv(1, 2), conv(2, 3)))
    assert distiller.pairs == {"hint_loss": HINT.pairs}
