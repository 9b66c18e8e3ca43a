import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf import Distiller, LossTerm, build_model
from kd_tf.distillation.bound_loss import BoundLoss
from kd_tf.distillation.loss_table import LOSSES
from kd_tf.distillation.taps import Forward
from tests.distillation.cases import models
from tests.distillation.test_distiller_weights import masking


def cnn(filters):
    return build_model("cnn", (8, 8, 3), 5, filters=filters)


def test_proposed_pairs_and_their_adapters_are_logged(caplog):
    loss_term = LossTerm("hint", pairs="auto")
    with caplog.at_level(logging.INFO, logger="absl"):
        BoundLoss(loss_term, cnn([4, 8]), teacher=cnn([8, 8]))
    lines = [record.getMessage() for record in caplog.records]
    # 4 * 8 weights and 8 biases; from 8 to 8 there is nothing to do.
    assert lines == [
        "hint_loss: student 'relu_1' (None, 8, 8, 4) learns from teacher "
        "'relu_1' (None, 8, 8, 8); its adapter has 40 parameters",
        "hint_loss: student 'relu_2' (None, 4, 4, 8) learns from teacher "
        "'relu_2' (None, 4, 4, 8); its adapter has 0 parameters",
        "hint_loss: student 'average' (None, 8) learns from teacher "
        "'average' (None, 8); its adapter has 0 parameters",
    ]


@pytest.mark.parametrize(
    "name", [name for name, spec in LOSSES.items() if spec.needs_grid]
)
def test_losses_on_grids_refuse_vectors(name):
    vectors = [("average", "average"), ("average", "average")]
    with pytest.raises(ValueError, match="compares grids") as raised:
        Distiller(*models(), LossTerm(name, pairs=vectors))
    assert "student (None, 4), teacher (None, 6)" in str(raised.value)


def test_relations_between_layers_look_at_the_deepest_pair():
    loss_term = LossTerm("rkd_distance", pairs="auto")
    bound_loss = BoundLoss(loss_term, models()[0], teacher=models()[1])
    assert bound_loss.pairs == [("average", "average")]
    assert bound_loss.count_params() == 0


def test_adapter_is_that_of_the_spec():
    for name in ("hint", "variational_information", "masked_generation"):
        loss_term = LossTerm(name, pairs=[("conv_1", "conv_1")])
        bound_loss = BoundLoss(loss_term, models()[0], teacher=models()[1])
        [adapter] = bound_loss.adapters
        assert type(adapter) is LOSSES[name].load_adapter()


@pytest.mark.parametrize("training", [True, False])
def test_a_custom_loss_gets_the_mask_and_the_mode(training):
    got = []

    def noting(student, teacher, mask, training=None):
        got.extend([mask, training])
        return tf.zeros(tf.shape(student)[:1])

    x = np.array([[[1.0] * 4, [0.0] * 4]], "f")
    pair = masking(0), masking(1)
    bound_loss = BoundLoss(LossTerm(noting), pair[0], teacher=pair[1])
    student, teacher = (Forward(model(x), {}, training) for model in pair)
    bound_loss.loss(student, teacher, y=None, sample_weight=None, step=0)
    assert np.array(got[0]).tolist() == [[True, False]]
    assert got[1] is training
    # Outputs without padding have no mask.
    bound_loss.loss(
        *(Forward(keras.ops.zeros((1, 3)), {}, training),) * 2,
        y=None,
        sample_weight=None,
        step=0,
    )
    assert got[2] is None
