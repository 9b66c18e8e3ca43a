import logging

import pytest

from kd_tf import Distiller, LossTerm, build_model
from kd_tf.distillation.bound_loss import BoundLoss
from kd_tf.distillation.loss_table import LOSSES
from tests.distillation.cases import models


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
