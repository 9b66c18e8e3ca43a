import keras
import numpy as np
import pytest
from keras import ops

from kd_tf import LossTerm
from kd_tf.distillation.keras_losses import keras_layer_pairs, keras_loss_spec
from tests.distillation import cases
from tests.distillation.distiller_cases import (
    data,
    distil,
    evaluated,
    fitted,
    mlp,
    soft,
    two_outputs,
)


def test_spec_of_a_loss_of_keras():
    spec = keras_loss_spec(keras.distillation.LogitsDistillation())
    assert spec.takes_all_outputs
    assert spec.takes_logits
    assert (spec.takes_pairs, spec.takes_transform) == (True, False)
    assert spec.title == "keras.distillation, LogitsDistillation"
    spec = keras_loss_spec(keras.distillation.FeatureDistillation())
    assert spec.takes_all_outputs
    assert not spec.takes_logits


def test_other_losses_name_no_layers():
    assert keras_layer_pairs("hint") is None
    assert keras_layer_pairs(lambda student, teacher: 0) is None


def test_layers_named_by_a_loss_of_keras_are_its_pair():
    loss = keras.distillation.FeatureDistillation(
        student_layer_name="conv_1", teacher_layer_name="conv_2"
    )
    assert LossTerm(loss).pairs == [("conv_1", "conv_2")]


def test_pairs_given_win_over_those_a_loss_of_keras_names():
    loss = keras.distillation.FeatureDistillation(
        student_layer_name="conv_1", teacher_layer_name="conv_2"
    )
    assert LossTerm(loss, pairs=cases.PAIRS).pairs == cases.PAIRS


def test_loss_of_keras_that_names_no_layer_is_between_outputs():
    assert LossTerm(keras.distillation.FeatureDistillation()).pairs is None
    assert LossTerm(keras.distillation.LogitsDistillation()).pairs is None


def test_layer_of_one_model_alone_is_refused():
    loss = keras.distillation.FeatureDistillation(student_layer_name="conv_1")
    with pytest.raises(ValueError, match="both models, or of neither") as e:
        LossTerm(loss)
    assert "student_layer_name='conv_1', teacher_layer_name=None" in str(
        e.value
    )


def test_loss_of_keras_takes_no_transform():
    loss = keras.distillation.LogitsDistillation()
    with pytest.raises(ValueError, match="applies to logits alone"):
        LossTerm(loss, transform="standardize")


def test_loss_of_keras_between_layers_is_that_by_hand():
    student, teacher = cases.models()
    loss = keras.distillation.FeatureDistillation(
        "mse", student_layer_name="logits", teacher_layer_name="logits"
    )
    x, y = cases.data()
    by_hand = np.mean(np.square(np.array(student(x)) - np.array(teacher(x))))
    assert cases.distil(loss, x, y) == pytest.approx(by_hand, rel=1e-5)


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
