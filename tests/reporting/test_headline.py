import dataclasses

import pytest

from kd_tf.reporting.headline import headline
from kd_tf.results import Variant
from tests.reporting import hand_made


def text_of(kind="images", **scores):
    results = hand_made.results(kind)
    return " ".join(headline(hand_made.rescored(results, **scores)))


def test_headline_has_the_figures():
    text = text_of()
    assert "5 kB: 10 times smaller than its teacher's 50 kB" in text
    assert "0.5 ms: 4.0 times faster than its teacher's 2 ms" in text
    assert "0.8000: 10.00 points less than its teacher's 0.9000" in text
    assert "Distillation helped: 0.7500 against 0.7000" in text
    # 0.05 of the 0.2 between control and teacher.
    assert "5.00 points more; it closed 25 % of the gap" in text
    assert "One seed is one seed" in text


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"student": 0.7}, "did not help: 0.7000 against 0.7000"),
        ({"student": 0.65}, "5.00 points less. One seed"),
        ({"student": 0.95}, "reaches the teacher's 0.9000 or passes it"),
        ({"teacher": 0.6}, "teacher itself is no better than those labels"),
        ({"int8": 0.9}, "is 0.9000, like its teacher's"),
        ({"int8": 0.91}, "1.00 points more than its teacher's"),
        ({"teacher": None}, "5.00 points more. One seed"),
    ],
)
def test_headline_says_plainly_what_came_out(scores, words):
    assert words in text_of(**scores)


def test_headline_of_values_counts_in_their_score():
    assert "0.1000 less than its teacher's" in text_of("values")


def test_headline_is_silent_on_models_that_were_not_made():
    results = hand_made.without(hand_made.results(), "control")
    assert "Distillation" not in " ".join(headline(results))


@pytest.mark.parametrize(
    ("overrides", "absent"),
    [
        (hand_made.UNVERIFIED, "Distillation"),
        (hand_made.UNVERIFIED, "Its test"),
        ({"costs": {}}, "times"),
        ({"costs": {}}, "The file has"),
        ({"reference": None}, "than its teacher's"),
    ],
)
def test_headline_is_silent_on_what_was_not_measured(overrides, absent):
    assert absent in " ".join(headline(hand_made.results()))
    results = hand_made.results(**overrides)
    assert absent not in " ".join(headline(results))


def test_headline_without_a_reference_has_the_figures_of_the_file():
    results = hand_made.results(reference=None)
    assert headline(results)[:3] == [
        "The file has 5 kB.",
        "One inference takes 0.5 ms.",
        "Its test accuracy is 0.8000.",
    ]


def test_every_distilled_model_with_a_comparison_has_its_sentence():
    results = hand_made.results()
    second = Variant(
        "small",
        "small student",
        "again",
        taught_by="student",
        compared_with="control",
    )
    record = results.model_scores["student"]
    results = dataclasses.replace(
        results,
        variants=[*results.variants, second],
        model_scores={**results.model_scores, "small": record},
    )
    *_, first, last = headline(results)
    assert "Distillation helped student distilled: 0.7500" in first
    assert "closed 25 % of the gap" in first
    # Its own teacher scores what it scores itself.
    assert "Distillation helped small student: 0.7500" in last
    assert "reaches the teacher's 0.7500" in last
