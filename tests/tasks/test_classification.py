import keras
import numpy as np
import pytest
from sklearn import metrics

from kd_tf.tasks import get_task
from tests.tasks.cases import RNG, fill_score

TASK = get_task("classification")
NAMES = ["cat", "dog"]


def test_scores_by_hand():
    outputs = np.log([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.9, 0.1]])
    score = TASK.new_score(2)
    losses = score.update(outputs, np.array([0, 1, 1, 0]))
    # Correct but for the second; each loss is -log of the label's probability.
    np.testing.assert_allclose(losses, -np.log([0.7, 0.4, 0.8, 0.9]), rtol=1e-5)
    record = score.result()
    assert record.scores["accuracy"] == 0.75
    assert record.scores["balanced_accuracy"] == (1 + 0.5) / 2
    # Four bins of one each: gaps 0.3, 0.6, 0.2 and 0.1.
    assert record.scores["ece"] == pytest.approx(1.2 / 4, abs=1e-6)
    assert "top_5_accuracy" not in record.scores
    assert score.arrays()["confusion"].tolist() == [[2, 0], [1, 1]]
    # In order of probability, class 0: yes, yes, no, no; class 1 likewise.
    assert record.per_class == {"average precision": [1, 1]}


def test_average_precision_of_a_class_by_hand():
    outputs = np.log([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]])
    labels = np.array([0, 1, 0])
    record = fill_score("classification", 2, outputs, labels).result()
    # Class 0 is found 1st and 3rd of three, class 1 at the 2nd of three.
    by_hand = [(1 / 1 + 2 / 3) / 2, 1 / 2]
    assert record.per_class == {"average precision": pytest.approx(by_hand)}


def test_scores_against_scikit_learn():
    outputs = RNG.normal(size=(200, 8)).astype("float32")
    labels = RNG.integers(0, 8, 200)
    score = fill_score("classification", 8, outputs, labels)
    scores, decided = score.result().scores, outputs.argmax(-1)
    assert scores["accuracy"] == metrics.accuracy_score(labels, decided)
    assert scores["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(labels, decided)
    )
    assert scores["top_5_accuracy"] == pytest.approx(
        metrics.top_k_accuracy_score(labels, outputs, k=5)
    )
    np.testing.assert_array_equal(
        score.arrays()["confusion"], metrics.confusion_matrix(labels, decided)
    )


def test_a_class_that_never_occurs_is_none_and_left_out():
    outputs = np.eye(3)[[0, 0, 1]]
    record = fill_score(
        "classification", 3, outputs, np.array([0, 1, 1])
    ).result()
    assert record.per_class["average precision"][2] is None
    assert record.scores["balanced_accuracy"] == (1 + 0.5) / 2


def test_examples_without_a_label_count_for_nothing():
    outputs = RNG.normal(size=(6, 2))
    score = TASK.new_score(2)
    losses = score.update(outputs, np.full(6, -1))
    assert losses.tolist() == [0] * 6
    assert score.result().scores == {
        "accuracy": None,
        "balanced_accuracy": None,
        "ece": None,
    }


def test_label_loss_is_kerass_own_without_smoothing_and_mixing():
    loss = TASK.label_loss()
    assert isinstance(loss, keras.losses.SparseCategoricalCrossentropy)
    outputs, labels = RNG.normal(size=(9, 3)), RNG.integers(0, 3, 9)
    expected = float(loss(labels, outputs))
    assert float(
        TASK.label_loss(mixed=True)(np.eye(3)[labels], outputs)
    ) == pytest.approx(expected, rel=1e-6)


def test_label_loss_is_0_for_a_certain_and_correct_output():
    loss = TASK.label_loss()(np.array([0]), np.array([[80.0, -80.0]]))
    assert float(loss) == pytest.approx(0, abs=1e-6)


def test_agreement_is_the_share_of_equal_decisions():
    agreement = TASK.new_agreement()
    agreement.update(np.array([[1, 0], [0, 1]]), np.array([[2, 1], [1, 0]]))
    assert agreement.result() == 0.5


def test_descriptions():
    assert TASK.describe_target(np.uint8(1), NAMES) == "dog"
    assert TASK.describe_target(np.int64(-1), NAMES) == "no label"
    logits = np.log([0.75, 0.25])
    assert TASK.describe_output(logits, NAMES) == "cat 0.75"
