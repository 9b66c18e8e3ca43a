import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf import Distiller, LossTerm, soft_target_loss
from kd_tf.schedules import linear

LABEL_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def dense(seed, units=3, **options):
    layer = keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(seed=seed),
        **options,
    )
    return keras.Sequential([keras.Input((4,)), layer])


def data(count=6):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 4)).astype("f"), np.arange(count) % 3


def distil(student, teacher, weight=0.3, **compile_options):
    loss_term = LossTerm("soft_targets", temperature=2.0)
    distiller = Distiller(student, teacher, loss_term, student_weight=weight)
    options = {"optimizer": keras.optimizers.SGD(0.5), "loss": LABEL_LOSS}
    distiller.compile(**{**options, **compile_options})
    return distiller


def cross_entropy(logits, labels):
    return np.array(LABEL_LOSS.call(labels, logits))


@pytest.mark.parametrize("sample_weight", [None, [1, 0, 2, 1, 0, 3]])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_loss_is_the_weighted_sum_done_by_hand(weight, sample_weight):
    student, teacher, (x, y) = dense(1), dense(2), data()
    if sample_weight:
        sample_weight = np.array(sample_weight)
    logs = distil(student, teacher, weight).evaluate(
        x, y, sample_weight=sample_weight, verbose=0, return_dict=True
    )
    w = np.ones(6) if sample_weight is None else sample_weight
    labels = np.sum(w * cross_entropy(student(x), y)) / 6
    soft = (
        np.sum(
            w
            * np.array(soft_target_loss(student(x), teacher(x), temperature=2))
        )
        / 6
    )
    assert logs["student_loss"] == pytest.approx(labels, rel=1e-5)
    assert logs["soft_targets_loss"] == pytest.approx(soft, rel=1e-5)
    assert logs["loss"] == pytest.approx(
        weight * labels + (1 - weight) * soft, rel=1e-5
    )


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_regularization_counts_in_full_whatever_the_weight(weight):
    student = dense(1, kernel_regularizer=keras.regularizers.L2(0.1))
    teacher, (x, y) = dense(2), data()
    logs = distil(student, teacher, weight).evaluate(
        x, y, verbose=0, return_dict=True
    )
    penalty = 0.1 * np.sum(np.square(student.layers[0].kernel))
    labels = cross_entropy(student(x), y).mean()
    soft = np.mean(soft_target_loss(student(x), teacher(x), temperature=2))
    assert logs["loss"] == pytest.approx(
        weight * labels + (1 - weight) * soft + penalty, rel=1e-5
    )


def test_step_is_the_gradient_step_done_by_hand():
    student, teacher, (x, y) = dense(1), dense(2), data()
    kernel = student.layers[0].kernel.numpy()
    z, t = np.array(student(x)), np.array(teacher(x))

    def softmax(a):
        return np.exp(a) / np.exp(a).sum(-1, keepdims=True)

    # d cross-entropy = p - onehot; d (T^2 KL) = T (softmax(z/T)-softmax(t/T)).
    slope = 0.3 * (softmax(z) - np.eye(3)[y])
    slope += 0.7 * 2 * (softmax(z / 2) - softmax(t / 2))
    distil(student, teacher).fit(x, y, batch_size=6, epochs=1, verbose=0)
    np.testing.assert_allclose(
        student.layers[0].kernel, kernel - 0.5 * x.T @ slope / 6, rtol=1e-4
    )


def test_examples_of_zero_weight_change_nothing():
    student, (x, y) = dense(1), data()
    before = student.get_weights()
    distil(student, dense(2)).fit(
        x, y, sample_weight=np.zeros(6), verbose=0, batch_size=6
    )
    for old, new in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_teacher_is_neither_trained_nor_frozen_nor_tracked():
    teacher = keras.Sequential(
        [keras.Input((4,)), keras.layers.BatchNormalization(), dense(2)]
    )
    before = teacher.get_weights()
    student, (x, y) = dense(1), data()
    distiller = distil(student, teacher)
    distiller.fit(x, y, verbose=0)
    assert teacher.trainable
    assert [v.path for v in distiller.trainable_variables] == [
        v.path for v in student.trainable_variables
    ]
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


class Counting(keras.layers.Layer):
    """Counts how often a batch really passes, in graph mode too."""

    def __init__(self):
        super().__init__()
        self.passes = tf.Variable(0)

    def call(self, x):
        self.passes.assign_add(1)
        return tf.identity(x)


def test_one_forward_pass_each_a_step():
    counters = [Counting(), Counting()]
    models = [
        keras.Sequential([keras.Input((4,)), counter, dense(seed)])
        for seed, counter in enumerate(counters)
    ]
    x, y = data(12)
    distiller = distil(*models)
    distiller.fit(x, y, batch_size=4, epochs=1, verbose=0)
    before = [int(counter.passes) for counter in counters]
    distiller.fit(x, y, batch_size=4, epochs=2, verbose=0)
    after = [int(counter.passes) for counter in counters]
    assert [b - a for a, b in zip(before, after, strict=True)] == [6, 6]


def test_history_holds_what_was_computed_and_nothing_else():
    x, y = data()
    distiller = distil(dense(1), dense(2), metrics=["accuracy"])
    history = distiller.fit(x, y, validation_data=(x, y), verbose=0).history
    names = {"loss", "student_loss", "soft_targets_loss", "accuracy"}
    assert history.keys() == names | {f"val_{name}" for name in names}
    assert all(np.all(np.array(history[k]) != 0) for k in history)
    assert history["val_loss"][0] == pytest.approx(
        distiller.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    )


def test_predict_gives_the_students_logits():
    student, (x, _) = dense(1), data()
    logits = distil(student, dense(2)).predict(x, verbose=0)
    np.testing.assert_allclose(logits, student(x), rtol=1e-6)


def test_saved_is_the_student_alone(tmp_path):
    student, (x, y) = dense(1), data()
    distiller = distil(student, dense(2), metrics=["accuracy"])
    path = tmp_path / "best.keras"
    saver = keras.callbacks.ModelCheckpoint(path, monitor="loss")
    distiller.fit(x, y, callbacks=[saver], verbose=0)
    loaded = keras.models.load_model(path)
    assert isinstance(loaded, keras.Sequential)
    assert loaded.count_params() == student.count_params()
    np.testing.assert_allclose(loaded(x), student(x), rtol=1e-6)


def test_mixed_precision_student():
    student = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, dtype="mixed_float16")]
    )
    x, y = data()
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    distiller = distil(student, dense(2), optimizer=optimizer)
    first = distiller.fit(x, y, epochs=10, verbose=0).history["loss"]
    assert np.isfinite(first).all()
    assert first[-1] < first[0]


def test_steps_per_execution_changes_nothing():
    x, y = data(12)
    histories = []
    for steps in (1, 3):
        distiller = distil(dense(1), dense(2), steps_per_execution=steps)
        history = distiller.fit(
            x, y, batch_size=4, epochs=2, shuffle=False, verbose=0
        )
        histories.append(history.history["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-6)


def test_subclass_combines_losses_in_its_own_way():
    class OnlyTheTeacher(Distiller):
        def combine(self, losses):
            return losses["soft_targets_loss"]

    x, y = data()
    distiller = OnlyTheTeacher(dense(1), dense(2), student_weight=0.5)
    distiller.compile("sgd", LABEL_LOSS)
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["soft_targets_loss"])


def test_dropout_of_the_student_only_while_training():
    student = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.5, seed=1), dense(1)]
    )
    x, y = data()
    distiller = distil(student, dense(2), optimizer=keras.optimizers.SGD(0.0))
    evaluated = [distiller.evaluate(x, y, verbose=0) for _ in range(2)]
    assert evaluated[0] == evaluated[1]
    trained = distiller.fit(x, y, epochs=2, verbose=0).history["loss"]
    assert trained[0] != trained[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0}, "`temperature` must be greater than 0"),
        ({"temperature": float("nan")}, "Received: temperature=nan"),
        ({"student_weight": 1.5}, r"`student_weight` must lie in \[0, 1\]"),
        ({"student_weight": float("nan")}, "Received: student_weight=nan"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    options = {"temperature": 1.0, "student_weight": 0.5, **arguments}
    with pytest.raises(ValueError, match=message):
        Distiller(
            dense(1),
            dense(2),
            LossTerm("soft_targets", temperature=options["temperature"]),
            student_weight=options["student_weight"],
        )


def test_teacher_of_another_width_is_refused():
    x, y = data()
    with pytest.raises(ValueError, match="same number of classes"):
        distil(dense(1), dense(2, units=4)).fit(x, y, verbose=0)


def test_schedules_are_all_that_changes():
    halving = keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.5)
    ramp = linear(6.0, 2.0, num_steps=8)
    losses = [
        LossTerm("soft_targets", temperature=ramp, weight=halving),
        LossTerm("dist", temperature=3.0, beta=ramp),
        "logit_matching",
    ]
    distiller = Distiller(dense(1), dense(2), losses, student_weight=ramp)
    assert distiller.schedules == {
        "student weight": ramp,
        "weight of loss 1, soft_targets": halving,
        "temperature of loss 1, soft_targets": ramp,
        "beta of loss 2, dist": ramp,
    }
    assert Distiller(dense(1), dense(2)).schedules == {}


def mean_distance(student, teacher, factor=1.0):
    return factor * tf.reduce_mean(tf.abs(student - teacher), axis=-1)


def test_schedules_name_a_loss_of_ones_own_by_its_function():
    def factor(step):
        return 1.0 + step

    by_name = f"{__name__}:mean_distance"
    losses = [
        LossTerm(loss, factor=factor) for loss in (mean_distance, by_name)
    ]
    distiller = Distiller(dense(1), dense(2), losses)
    assert list(distiller.schedules) == [
        "factor of loss 1, mean_distance",
        f"factor of loss 2, {by_name}",
    ]
