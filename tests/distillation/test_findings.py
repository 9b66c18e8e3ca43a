import numpy as np
import pytest

from kd_tf.distillation import findings
from kd_tf.distillation.gradient_shares import GradientShares


def figures(values=4, not_finite=0, negative=0, not_a_distribution=0):
    return {
        "values": values,
        "not finite": not_finite,
        "negative": negative,
        "not a distribution": not_a_distribution,
    }


@pytest.mark.parametrize(
    ("outputs", "finding"),
    [
        (figures(negative=1, not_a_distribution=2), None),
        (figures(not_a_distribution=1), None),
        (figures(), "add up to 1.000: they are probabilities"),
        (figures(2, not_finite=1), "50.0% of the teacher's outputs are NaN"),
    ],
)
def test_on_outputs(outputs, finding):
    sentences = list(findings.on_outputs({None: outputs}))
    assert len(sentences) == (finding is not None)
    assert all(finding in sentence for sentence in sentences)


def test_outputs_are_named_where_there_are_several():
    outputs = {"a": figures(negative=1), "b": figures()}
    [sentence] = findings.on_outputs(outputs)
    assert sentence.startswith("The teacher's outputs for 'b' lie in [0, 1]")


@pytest.mark.parametrize(
    ("by_class", "several", "is_finding"),
    [([0, 0], 0, True), ([0, 1], 0, False), ([0, 0], 3, False)],
)
def test_on_labels(by_class, several, is_finding):
    counts = {
        "labels": 3,
        "several classes": several,
        "of class": np.array(by_class),
    }
    sentences = list(findings.on_labels({None: counts}))
    assert len(sentences) == is_finding
    assert all("None of the 3 labels lies in [0, 2)" in s for s in sentences)
    assert list(findings.on_labels({None: {"values": 4}})) == []


# Twice the standard error of one half is 1 / sqrt(N).
@pytest.mark.parametrize(
    ("teacher", "majority", "count", "is_finding"),
    [
        (0.50, 0.5, 10_000, True),
        (0.52, 0.5, 10_000, True),  # a twentieth of the way is 0.525
        (0.53, 0.5, 10_000, False),
        (0.59, 0.5, 100, True),  # by chance 0.6
        (0.61, 0.5, 100, False),
        (0.74, 0.5, 4, True),  # by chance 1, of which half the way will do
        (0.75, 0.5, 4, False),
        (0.10, 0.5, 100, True),
        (1.00, 1.0, 100, True),
    ],
)
def test_teacher_is_compared_with_the_most_frequent_class(
    teacher, majority, count, is_finding
):
    # An untrained student is worse than any teacher.
    sentences = list(
        findings.on_accuracy(
            {"teacher": teacher, "student": 0.0},
            majority_share=majority,
            num_labels=count,
        )
    )
    assert len(sentences) == is_finding
    for sentence in sentences:
        assert f"teacher is {teacher:.1%} on {count} labels" in sentence
        assert f"most frequent class has {majority:.1%}" in sentence
        assert "train a better one" in sentence


@pytest.mark.parametrize(
    ("student", "is_finding"), [(0.895, True), (0.88, False), (0.95, True)]
)
def test_teacher_is_compared_with_a_student_as_good(student, is_finding):
    accuracy = {"teacher": 0.9, "student": student}
    options = {"majority_share": 0.5, "num_labels": 1000}
    sentences = list(findings.on_accuracy(accuracy, **options))
    assert len(sentences) == is_finding
    assert all(f"of the student {student:.1%}" in s for s in sentences)
    assert list(findings.on_accuracy({}, **options)) == []


@pytest.mark.parametrize(
    ("entropy", "remedy"),
    [(0.04, "Raise"), (0.06, None), (0.98, None), (0.995, "Lower")],
)
def test_on_entropy(entropy, remedy):
    sentences = list(findings.on_entropy({"soft": entropy}))
    assert len(sentences) == (remedy is not None)
    assert all(f"{remedy} the temp" in sentence for sentence in sentences)


def on_gradients(shares, student_weight=0.5, weights=(), **options):
    weights = {**dict.fromkeys(shares, 0.5), **dict(weights)}
    gradients = GradientShares(shares, weights, student_weight, **options)
    return list(findings.on_gradients(gradients))


def test_on_gradients_names_a_factor_for_a_tenth():
    [sentence] = on_gradients({"a": 0.001, "b": 0.999})
    # 0.001 f / (0.001 f + 0.999) is a tenth where f is 111.
    assert "a has 0.10% of the gradient. Multiply its weight by 1.1e+02" in (
        sentence
    )


def test_on_gradients_names_a_student_weight_for_a_tenth():
    weights = {"student_loss": 0.01, "a": 0.99}
    [sentence] = on_gradients(
        {"student_loss": 0.005, "a": 0.995}, 0.01, weights=weights
    )
    # Norms 0.5 and 1.00505 at weight 1: 0.5 w / (0.5 w + 1.00505 (1 - w)) is
    # a tenth at w = 0.183.
    assert sentence.endswith("Set `student_weight` to 0.18 for a tenth.")


def test_labels_without_a_weight_are_given_one():
    [sentence] = on_gradients(
        {"student_loss": 0.0, "a": 1.0}, 0.0, weights={"student_loss": 0.0}
    )
    assert sentence.endswith("Raise `student_weight`, or leave it out.")


def test_loss_that_moves_nothing_needs_no_weight():
    [sentence] = on_gradients({"a": 0.0, "b": 1.0})
    assert "Its weight is 0.5, but it moves no weight of the stud" in sentence
    assert "Check the function" in sentence


def test_on_gradients_leaves_out_regularization_and_nan():
    shares = {"regularization_loss": 0.0, "a": float("nan"), "b": 0.5}
    assert on_gradients(shares) == []


def test_student_weight_of_1_is_the_one_finding():
    shares = {"student_loss": 1.0, "a": 0.0, "b": 0.0}
    [sentence] = on_gradients(
        shares, 1.0, weights={"a": 0.0, "b": 0.0}, idle_adapters=["a: x -> y"]
    )
    assert sentence.startswith("`student_weight` is 1 now: a, b weigh 0")
    assert "Lower it, such as to 0.1" in sentence


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        ({"is_dead": True}, "it is dead. Initialize it anew"),
        ({"has_variables": False}, "`trainable = True`"),
    ],
)
def test_student_that_cannot_learn_is_the_one_finding(state, remedy):
    shares = {"student_loss": 0.0, "a": 0.0}
    [sentence] = on_gradients(shares, idle_adapters=["a: x -> y"], **state)
    assert remedy in sentence


def test_on_sample_weights():
    [sentence] = findings.on_sample_weights(0, 7)
    assert sentence.startswith("All 7 examples have a sample weight of 0")
    assert list(findings.on_sample_weights(1, 7)) == []


def test_on_adapters():
    [sentence] = findings.on_adapters(["hint_loss: a -> b"])
    assert "The adapter of hint_loss: a -> b gets a gradient of 0" in sentence
