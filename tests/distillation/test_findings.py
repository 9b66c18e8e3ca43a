import numpy as np
import pytest

from kd_tf.distillation import findings

LOGITS = np.array([[2.0, -1.0], [0.5, 0.0]])


@pytest.mark.parametrize(
    ("outputs", "finding"),
    [
        (LOGITS, None),
        (np.array([[0.25, 0.75]]), "add up to 1.000: they are probabilities"),
        (np.array([[1.0, np.nan]]), "50.0% of the teacher's outputs are NaN"),
        # One positive value is no distribution.
        (np.array([[1.0]]), None),
    ],
)
def test_on_outputs(outputs, finding):
    sentences = list(findings.on_outputs({None: outputs}))
    assert len(sentences) == (finding is not None)
    assert all(finding in sentence for sentence in sentences)


def test_outputs_are_named_where_there_are_several():
    [sentence] = findings.on_outputs({"a": LOGITS, "b": 0 * LOGITS + 0.5})
    assert sentence.startswith("The teacher's outputs for 'b' lie in [0, 1]")


@pytest.mark.parametrize(
    ("teacher", "student", "is_finding"),
    [(0.9, 0.895, True), (0.9, 0.88, False), (0.5, 0.9, True)],
)
def test_on_accuracy(teacher, student, is_finding):
    accuracy = {"teacher": teacher, "student": student}
    assert len(list(findings.on_accuracy(accuracy))) == is_finding
    assert list(findings.on_accuracy({"teacher": teacher})) == []


@pytest.mark.parametrize(
    ("entropy", "remedy"),
    [(0.04, "Raise"), (0.06, None), (0.98, None), (0.995, "Lower")],
)
def test_on_entropy(entropy, remedy):
    sentences = list(findings.on_entropy({"soft": entropy}))
    assert len(sentences) == (remedy is not None)
    assert all(f"{remedy} the temp" in sentence for sentence in sentences)


def test_on_gradients_names_a_factor_for_a_tenth():
    [sentence] = findings.on_gradients({"a": 0.001, "b": 0.999})
    # 0.001 f / (0.001 f + 0.999) is a tenth where f is 111.
    assert "a has 0.10% of the gradient. Multiply its weight by 1.1e+02" in (
        sentence
    )


def test_on_gradients_leaves_out_regularization_and_nan():
    shares = {"regularization_loss": 0.0, "a": float("nan"), "b": 0.5}
    assert list(findings.on_gradients(shares)) == []


def test_on_adapters():
    [sentence] = findings.on_adapters(["hint_loss: a -> b"])
    assert "The adapter of hint_loss: a -> b gets a gradient of 0" in sentence
