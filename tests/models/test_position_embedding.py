import keras
import numpy as np

from kd_tf.models.position_embedding import PositionEmbedding


def test_every_step_gets_its_own_vector():
    layer = PositionEmbedding()
    outputs = layer(np.zeros((2, 3, 4), "float32"))
    assert layer.table.shape == (3, 4)
    np.testing.assert_array_equal(outputs, [layer.table.numpy()] * 2)
    assert len(np.unique(layer.table.numpy(), axis=0)) == 3


def test_older_files_find_it_by_its_first_name():
    name = keras.saving.get_registered_name(PositionEmbedding)
    assert name == "kd_tf>Positions"
