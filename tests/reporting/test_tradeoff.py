import pytest

from kd_tf.reporting.tradeoff import Point, tradeoff_pictures


def point(label, **row):
    return Point(label, "black", "o", {"id": label, "model": label, **row})


def test_points_that_lack_a_figure_are_left_out():
    points = [
        point("one", test_score=0.5, bytes=2000),
        point("two", test_score=0.25),
        point("three", bytes=1000),
    ]
    [size] = tradeoff_pictures(points, "accuracy")
    assert size.alt == "Test accuracy against size in kB: one 0.5000 at 2."


@pytest.mark.parametrize("ratio", [1, 4, 50, 5000])
def test_costs_may_be_near_or_far_apart(ratio):
    points = [
        point("one", test_score=0.5, p50_ms=2.0),
        point("two", test_score=0.6, p50_ms=2.0 * ratio),
    ]
    [latency] = tradeoff_pictures(points, "accuracy")
    assert latency.name == "score_against_latency"
    assert f"two 0.6000 at {2 * ratio:.4g}" in latency.alt


def test_nothing_measured_is_no_picture():
    assert tradeoff_pictures([point("one")], "accuracy") == []
