import dataclasses

import pytest

from kd_tf.reporting.gains import distillation_gains
from tests.reporting import hand_made


def compared(name, *, compared_with):
    """A run in which a variant is compared with another."""
    results = hand_made.results()
    variants = [
        dataclasses.replace(v, compared_with=compared_with)
        if v.name == name
        else v
        for v in results.variants
    ]
    return dataclasses.replace(results, variants=variants)


def test_gain_is_the_difference_to_the_model_trained_on_labels():
    [gain] = distillation_gains(hand_made.results())
    assert gain.variant.name == "student"
    assert (gain.score, gain.baseline, gain.taught_by_score) == (0.75, 0.7, 0.9)
    assert gain.amount == pytest.approx(0.05)


@pytest.mark.parametrize(
    "compared_with",
    [
        "student",  # which has a teacher as well
        "control",  # whose weights it did not start from
    ],
)
def test_difference_in_something_else_is_not_that_of_distillation(
    compared_with,
):
    results = compared("pruned", compared_with=compared_with)
    assert [g.variant.name for g in distillation_gains(results)] == ["student"]


def test_compression_of_a_model_trained_on_labels_is_not_distillation():
    results = hand_made.without(hand_made.results(), "student")
    results = dataclasses.replace(
        results,
        variants=[
            dataclasses.replace(v, made_from="control", compared_with="control")
            if v.name == "pruned"
            else v
            for v in results.variants
        ],
    )
    assert distillation_gains(results) == []


@pytest.mark.parametrize("name", ["student", "control"])
def test_gain_needs_both_scores(name):
    results = hand_made.rescored(hand_made.results(), **{name: None})
    assert distillation_gains(results) == []


def test_gain_without_a_score_of_the_teacher_is_still_a_gain():
    results = hand_made.rescored(hand_made.results(), teacher=None)
    [gain] = distillation_gains(results)
    assert gain.taught_by_score is None
