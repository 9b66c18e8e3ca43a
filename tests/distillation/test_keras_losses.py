import keras
import numpy as np
import pytest

from kd_tf import LossTerm
from kd_tf.distillation.keras_losses import keras_layer_pairs, keras_loss_spec
from tests.distillation.cases import PAIRS, data, distil, models


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
    assert LossTerm(loss, pairs=PAIRS).pairs == PAIRS


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
    student, teacher = models()
    loss = keras.distillation.FeatureDistillation(
        "mse", student_layer_name="logits", teacher_layer_name="logits"
    )
    x, y = data()
    by_hand = np.mean(np.square(np.array(student(x)) - np.array(teacher(x))))
    assert distil(loss, x, y) == pytest.approx(by_hand, rel=1e-5)
