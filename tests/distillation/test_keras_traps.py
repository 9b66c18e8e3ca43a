"""What `keras.distillation` gets wrong, each row measured, none repeated here.

Shapes: B examples.
"""

import contextlib
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf import Distiller, LossTerm, soft_target_loss

LABEL_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
HINT = LossTerm("hint", pairs=[("hidden", "hidden")])


def mlp(seed, *, width=5, dropout=0.0, normalize=False, activation=None):
    """4 features, 3 classes; the same seed gives the same weights."""

    def kernel(i):
        return keras.initializers.RandomNormal(seed=10 * seed + i)

    layers = [
        keras.Input((4,)),
        keras.layers.Dense(width, kernel_initializer=kernel(0), name="hidden"),
        keras.layers.Dropout(dropout, seed=seed),
        keras.layers.Dense(3, activation, kernel_initializer=kernel(1)),
    ]
    if normalize:
        layers.insert(1, keras.layers.BatchNormalization(momentum=0.5))
    return keras.Sequential(layers)


def data(count=6):
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 4)).astype("f"), np.arange(count) % 3


def distil(student, teacher, losses, weight=0.3, **options):
    distiller = Distiller(student, teacher, losses, student_weight=weight)
    given = {"optimizer": keras.optimizers.SGD(0.1), "loss": LABEL_LOSS}
    distiller.compile(**{**given, **options})
    return distiller


def values(variables):
    return [variable.numpy() for variable in variables]


def assert_same(before, variables):
    for old, new in zip(before, values(variables), strict=True):
        np.testing.assert_array_equal(old, new)


@contextlib.contextmanager
def policy(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def linear(logits):
    """A model whose output for the i-th unit vector is the i-th row."""
    layer = keras.layers.Dense(3, use_bias=False)
    model = keras.Sequential([keras.Input((2,)), layer])
    layer.set_weights([np.array(logits, "f")])
    return model


@pytest.mark.parametrize(
    ("temperature", "by_hand"), [(1.0, 0.9338), (3.0, 2.0301), (20.0, 2.1824)]
)
def test_soft_targets_are_softened_on_both_sides(temperature, by_hand):
    distiller = Distiller(
        linear([[1, 2, 0], [1, 1, 1]]),
        linear([[5, 1, -2], [0, 3, 1]]),
        LossTerm("soft_targets", temperature=temperature),
        student_weight=0,
    )
    distiller.compile()
    logs = distiller.evaluate(np.eye(2, dtype="f"), verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(by_hand, abs=5e-5)


def test_feature_losses_cost_no_second_pass_of_the_student():
    student, (x, y) = mlp(1, normalize=True), data()
    losses = ["soft_targets", HINT, LossTerm("rkd_distance", pairs="auto")]
    distil(student, mlp(2, width=7), losses).fit(
        x, y, batch_size=6, epochs=1, verbose=0
    )
    normalization = student.layers[0]
    # Once: half of the old mean, 0, and half of the batch's.
    np.testing.assert_allclose(
        normalization.moving_mean, x.mean(axis=0) / 2, rtol=1e-5
    )
    np.testing.assert_allclose(
        normalization.moving_variance, (1 + x.var(axis=0)) / 2, rtol=1e-5
    )


def conv(width, normalize):
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(width, 3, name="grid"),
        keras.layers.Dropout(0.5),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3),
    ]
    if normalize:
        layers.insert(2, keras.layers.BatchNormalization())
    return keras.Sequential(layers)


def test_evaluation_with_feature_losses_changes_no_variable():
    pairs = [("grid", "grid")]
    distiller = distil(
        conv(2, normalize=True),
        conv(3, normalize=True),
        [
            LossTerm(name, pairs=pairs)
            for name in ("hint", "masked_generation", "variational_information")
        ],
    )
    x = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("f")
    distiller.fit(x, np.arange(6) % 3, verbose=0)
    held = [*distiller.variables, *distiller.teacher.variables]
    # Kernels and biases, statistics, seeds of two dropouts and of a mask.
    assert sum("seed" in v.path for v in held) == 3
    before = values(held)
    distiller.evaluate(x, np.arange(6) % 3, verbose=0)
    assert_same(before, held)


def test_examples_of_zero_weight_change_neither_student_nor_adapters():
    distiller = distil(mlp(1), mlp(2, width=7), ["soft_targets", HINT])
    before, (x, y) = values(distiller.weights), data()
    distiller.fit(x, y, sample_weight=np.zeros(6), verbose=0)
    assert_same(before, distiller.weights)


def test_regularization_moves_the_student_as_it_would_without_a_teacher():
    student = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(
                3, kernel_regularizer=keras.regularizers.L2(0.5)
            ),
        ]
    )
    before, (x, y) = student.layers[0].kernel.numpy(), data()
    # No example weighs anything: only the penalty has a gradient, k.
    distil(student, mlp(2), "soft_targets").fit(
        x, y, sample_weight=np.zeros(6), verbose=0
    )
    np.testing.assert_allclose(
        student.layers[0].kernel, 0.9 * before, rtol=1e-5
    )


class Penalized(keras.layers.Layer):
    """Adds losses as a layer may: here 2 scalars, or 2 values an example."""

    def __init__(self, is_scalar):
        super().__init__()
        self.is_scalar = is_scalar

    def call(self, x):
        penalty = keras.ops.square(x)
        self.add_loss(keras.ops.sum(penalty) if self.is_scalar else penalty)
        self.add_loss(keras.ops.convert_to_tensor(1.5))
        return x


@pytest.mark.parametrize("is_scalar", [True, False])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_added_losses_count_in_full(weight, is_scalar):
    student = keras.Sequential(
        [keras.Input((4,)), Penalized(is_scalar), mlp(1)]
    )
    x, y = data()
    teacher = mlp(2)
    logs = distil(student, teacher, "soft_targets", weight).evaluate(
        x, y, verbose=0, return_dict=True
    )
    penalty = np.sum(np.square(x)) + 1.5
    assert logs["regularization_loss"] == pytest.approx(penalty, rel=1e-5)
    labels = np.mean(LABEL_LOSS.call(y, student(x)))
    soft = np.mean(soft_target_loss(student(x), teacher(x)))
    assert logs["loss"] == pytest.approx(
        weight * labels + (1 - weight) * soft + penalty, rel=1e-5
    )


def two_outputs(seed, nest, activations=(None, None)):
    x = keras.Input((4,))
    outputs = [
        keras.layers.Dense(
            3,
            activation,
            kernel_initializer=keras.initializers.RandomNormal(seed=seed + i),
            name=name,
        )(x)
        for i, (name, activation) in enumerate(
            zip("ab", activations, strict=True)
        )
    ]
    return keras.Model(x, nest(outputs))


def as_dict(outputs):
    return dict(zip("ab", outputs, strict=True))


@pytest.mark.parametrize("nest", [list, as_dict])
def test_several_outputs_are_fitted_to_the_teacher(nest):
    student, teacher = two_outputs(0, nest), two_outputs(5, nest)
    x, y = data()
    history = distil(student, teacher, "soft_targets", weight=0.1).fit(
        x, nest([y, y]), epochs=8, verbose=0
    )
    losses = history.history["soft_targets_loss"]
    assert losses[-1] < losses[0]


def test_metrics_by_name_of_the_output():
    x, y = data()
    distiller = distil(
        two_outputs(0, as_dict),
        two_outputs(5, as_dict),
        "soft_targets",
        metrics={"a": ["accuracy"], "b": []},
    )
    logs = distiller.evaluate(x, {"a": y, "b": y}, verbose=0, return_dict=True)
    right = np.argmax(distiller.student(x)["a"], axis=-1) == y
    assert logs["a_accuracy"] == pytest.approx(right.mean())
    assert "b_accuracy" not in logs


@pytest.mark.parametrize(
    "loss",
    [
        "soft_targets",
        HINT,
        "rkd_distance",
        keras.distillation.FeatureDistillation("mse", "hidden", "hidden"),
        lambda student, teacher: keras.ops.mean(student - teacher, axis=-1),
    ],
)
def test_losses_of_a_mixed_precision_student_are_float32_and_finite(loss):
    with policy("mixed_float16"):
        student, teacher = mlp(1), mlp(2, width=7)
    distiller, (x, y) = distil(student, teacher, loss), data()
    assert isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    losses = distiller.compute_losses(
        x,
        y,
        distiller.tapped_student(100 * x, training=True),
        distiller.frozen_teacher(100 * x),
        None,
    )
    assert len(losses) == 2
    assert {loss.dtype for loss in losses.values()} == {tf.float32}
    assert all(np.isfinite(loss) for loss in losses.values())


def test_mixed_precision_student_is_fitted():
    with policy("mixed_float16"):
        student = mlp(1)
    losses = ["soft_targets", HINT, "rkd_distance"]
    distiller, (x, y) = distil(student, mlp(2, width=7), losses), data()
    # Scaling may skip steps until it has found its scale.
    history = distiller.fit(x, y, epochs=12, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < history[0]


def test_layers_of_different_width_get_an_adapter():
    distiller = distil(mlp(1, width=5), mlp(2, width=7), HINT)
    assert distiller.adapter_parameters == 5 * 7 + 7
    x, y = data()
    history = distiller.fit(x, y, epochs=8, verbose=0).history
    assert history["hint_loss"][-1] < history["hint_loss"][0]


@pytest.mark.parametrize("path", ["hidden", "backbone/hidden"])
def test_nested_layers_are_found_by_name_and_by_path(path):
    backbone = mlp(2)
    backbone.name = "backbone"
    x = keras.Input((4,))
    teacher = keras.Model(x, keras.layers.Dense(3)(backbone(x)))
    student, (x, y) = mlp(1), data()
    logs = distil(
        student, teacher, LossTerm("hint", pairs=[("hidden", path)])
    ).evaluate(x, y, verbose=0, return_dict=True)
    difference = student.layers[0](x) - backbone.layers[0](x)
    by_hand = np.mean(np.square(difference))
    assert logs["hint_loss"] == pytest.approx(by_hand, rel=1e-5)


def test_saved_file_is_a_student_that_can_be_fitted_on(tmp_path):
    student, (x, y) = mlp(1), data()
    distiller = distil(student, mlp(2, width=7), ["soft_targets", HINT])
    distiller.fit(x, y, verbose=0)
    distiller.save(tmp_path / "student.keras")
    with zipfile.ZipFile(tmp_path / "student.keras") as file:
        config = file.read("config.json").decode()
    assert "Distiller" not in config
    assert '"units": 7' not in config
    loaded = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(loaded(x), student(x), rtol=1e-6)
    loaded.compile(keras.optimizers.SGD(0.1), LABEL_LOSS)
    loss = loaded.fit(x, y, epochs=8, verbose=0).history["loss"]
    assert loss[-1] < loss[0]


@pytest.mark.parametrize("trainable", [True, False])
def test_teacher_stays_as_it_was(trainable):
    teacher, (x, y) = mlp(2, width=7, dropout=0.5, normalize=True), data()
    teacher.trainable = trainable
    before = values(teacher.variables)
    distil(mlp(1), teacher, ["soft_targets", HINT]).fit(x, y, verbose=0)
    assert teacher.trainable is trainable
    assert all(layer.trainable is trainable for layer in teacher.layers)
    assert_same(before, teacher.variables)


def nested(model):
    x = keras.Input((4,))
    return keras.Model(x, model(x))


def with_softmax_layer():
    return keras.Sequential([keras.Input((4,)), mlp(1), keras.layers.Softmax()])


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (mlp(1, activation="softmax"), "softmax"),
        (mlp(1, activation="sigmoid"), "sigmoid"),
        (with_softmax_layer(), "softmax"),
        (nested(mlp(1, activation="softmax")), "softmax"),
        (nested(nested(mlp(1, activation="sigmoid"))), "sigmoid"),
    ],
)
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_probabilities_are_refused_with_the_remedy(model, what, role):
    models = {"student": mlp(3), "teacher": mlp(4), role: model}
    with pytest.raises(
        ValueError, match=f"^The {role} ends in {what}"
    ) as error:
        Distiller(models["student"], models["teacher"])
    message = str(error.value)
    assert "Rebuild the last layer with activation=None" in message


@pytest.mark.parametrize("nest", [list, as_dict])
def test_probabilities_are_refused_only_where_they_are_distilled(nest):
    student = two_outputs(0, nest, (None, "softmax"))
    teacher = two_outputs(5, nest, (None, "softmax"))
    only = Distiller(student, teacher, {"a": "soft_targets"}, student_weight=0)
    only.compile()
    logs = only.evaluate(data()[0], verbose=0, return_dict=True)
    assert logs.keys() == {"loss", "soft_targets_loss_a"}
    for losses in ("soft_targets", {"b": "soft_targets"}):
        with pytest.raises(ValueError, match="The student ends in softmax"):
            Distiller(student, teacher, losses)


def test_probabilities_are_welcome_where_no_logits_are_wanted():
    distiller = distil(mlp(1, activation="softmax"), mlp(2), HINT, weight=0)
    logs = distiller.evaluate(data()[0], verbose=0, return_dict=True)
    assert logs["loss"] == logs["hint_loss"] > 0


def test_loss_in_the_history_is_the_loss_minimized():
    x, y = data(12)
    loss_term = LossTerm("hint", weight=2.0, pairs=[("hidden", "hidden")])
    history = distil(mlp(1), mlp(2), ["soft_targets", loss_term]).fit(
        x, y, batch_size=5, epochs=2, validation_data=(x, y), verbose=0
    )
    assert len(history.history) == 8
    for prefix in ("", "val_"):
        total, labels, soft, hint = (
            np.array(history.history[f"{prefix}{name}"])
            for name in ("loss", "student_loss", "soft_targets_loss", HINT.name)
        )
        by_hand = 0.3 * labels + 0.7 * (soft + 2 * hint)
        np.testing.assert_allclose(total, by_hand, rtol=1e-5)


def test_what_validation_does_not_compute_is_not_reported_as_zero():
    x, y = data()
    distiller = distil(
        mlp(1), mlp(2), "soft_targets", weight=0, metrics=["accuracy"]
    )
    unlabelled = tf.data.Dataset.from_tensor_slices(x).batch(3)
    history = distiller.fit(
        x, y, validation_data=unlabelled, epochs=2, verbose=0
    ).history
    assert history.keys() == {
        *("loss", "student_loss", "soft_targets_loss", "accuracy"),
        *("val_loss", "val_soft_targets_loss"),
    }


def test_trained_and_saved_are_the_student_and_the_adapters_alone():
    student = mlp(1, normalize=True)
    teacher = mlp(2, width=7, normalize=True)
    distiller = distil(student, teacher, ["soft_targets", HINT])
    adapters = distiller.bound_losses[1].trainable_variables
    assert [tuple(v.shape) for v in adapters] == [(5, 7), (7,)]

    def same(variables, expected):
        return {id(v) for v in variables} == {id(v) for v in expected}

    trainable = [*student.trainable_variables, *adapters]
    assert same(distiller.trainable_variables, trainable)
    assert same(distiller.weights, [*student.weights, *adapters])


def test_weights_file_neither_holds_nor_overwrites_a_teacher(tmp_path):
    path = tmp_path / "distiller.weights.h5"
    distil(mlp(1), mlp(2), "soft_targets").save_weights(path)
    teacher = mlp(3)
    before = values(teacher.variables)
    loaded = distil(mlp(4), teacher, "soft_targets")
    loaded.load_weights(path)
    assert_same(before, teacher.variables)
    assert_same(values(mlp(1).variables[:1]), loaded.student.variables[:1])
