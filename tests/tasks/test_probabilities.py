import numpy as np

from kd_tf.tasks.probabilities import sigmoid, softmax


def test_probabilities_by_hand():
    np.testing.assert_allclose(softmax(np.log([[3.0, 1.0]])), [[0.75, 0.25]])
    np.testing.assert_allclose(sigmoid(np.log([3.0, 1.0])), [0.75, 0.5])


def test_probabilities_are_float32():
    assert softmax(np.zeros((2, 3))).dtype == np.float32
    assert sigmoid(np.zeros((2, 3))).dtype == np.float32


def test_probabilities_of_huge_logits_are_finite():
    huge = np.array([[1e4, -1e4, 0.0]], "float32")
    assert softmax(huge).tolist() == [[1, 0, 0]]
    np.testing.assert_allclose(sigmoid(huge), [[1, 0, 0.5]])
