import dataclasses

import pytest

from kd_tf.reporting.rows import result_rows
from tests.reporting import hand_made


def rows_of(results):
    return {row["id"]: row for row in result_rows(results)}


def test_row_has_all_that_was_measured():
    rows = rows_of(hand_made.results())
    assert list(rows) == [variant.name for variant in hand_made.VARIANTS]
    assert rows["teacher"] == {
        "id": "teacher",
        "model": "teacher",
        "test_score": 0.9,
        "agreement": 0.99,
        "parameters": 1234,
        "validation_score": 0.4,
        "best_epoch": 2,
        "bytes": 50_000,
        "gzip_bytes": 4000,
        "p50_ms": 2.0,
        "p95_ms": 0.6,
        "peak_memory_mb": 50.0,
    }
    # A file has the score of LiteRT, and parameters of its Keras model.
    assert rows["int8"]["test_score"] == 0.8
    assert rows["int8"]["parameters"] == 1234
    assert not {"validation_score", "best_epoch"} & rows["int8"].keys()


@pytest.mark.parametrize(
    ("overrides", "row", "empty"),
    [
        (hand_made.UNVERIFIED, "teacher", {"test_score", "agreement"}),
        (
            {"costs": {}},
            "int8",
            {"bytes", "gzip_bytes", "p50_ms", "p95_ms", "peak_memory_mb"},
        ),
        ({"trainings": {}}, "pruned", {"parameters", "validation_score"}),
        ({"trainings": {}}, "int8", {"parameters"}),
        ({"trainings": {}}, "control", {"parameters", "best_epoch"}),
        ({"not_made": {"int8": "it crashed"}}, "int8", {"parameters"}),
    ],
)
def test_what_was_not_measured_is_absent(overrides, row, empty):
    changed = hand_made.results(**overrides)
    assert not empty & rows_of(changed)[row].keys()
    assert empty <= rows_of(hand_made.results())[row].keys()


def test_float_file_has_the_parameters_of_its_model():
    rows = rows_of(hand_made.bare())
    assert list(rows) == ["student", "float"]
    assert rows["float"]["parameters"] == 1234


@pytest.mark.parametrize("value", [None, float("nan")])
def test_score_that_cannot_be_computed_is_absent(value):
    results = hand_made.rescored(hand_made.results("values"), teacher=value)
    assert "test_score" not in rows_of(results)["teacher"]


def test_validation_score_that_is_nan_is_absent():
    results = hand_made.results()
    training = dataclasses.replace(
        results.trainings["teacher"], validation_score=float("nan")
    )
    changed = hand_made.results(trainings={"teacher": training})
    assert "validation_score" not in rows_of(changed)["teacher"]
