import re

import pytest

from kd_tf.reporting.rows import result_rows
from kd_tf.reporting.tables import (
    details_table,
    examples_table,
    jobs_table,
    main_table,
    per_class_table,
    scores_table,
    sparsity_table,
)
from tests.reporting import hand_made


def test_main_table_has_a_row_for_each_variant():
    table = main_table(result_rows(hand_made.results()), "accuracy")
    lines = table.markdown.splitlines()
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in lines]
    costs = ["1,234", "5,000", "4,000", "0.5000"]
    assert cells[0] == [
        "model",
        "test accuracy",
        "parameters",
        "bytes",
        "gzip",
        "p50 ms",
    ]
    assert cells[2:] == [
        ["teacher", "0.9000", "1,234", "50,000", "4,000", "2.0000"],
        ["student on labels", "0.7000", *costs],
        ["student distilled", "0.7500", *costs],
        ["pruned", "0.7400", *costs],
        [".tflite weight-only int8", "0.8000", *costs],
        [".tflite int8", "0.8000", *costs],
    ]


def test_details_have_what_the_main_table_has_no_room_for():
    table = details_table(result_rows(hand_made.results()), "accuracy")
    assert table.headers == [
        "model",
        "agreement with Keras",
        "validation accuracy",
        "best epoch",
        "p95 ms",
        "peak memory MB",
    ]
    teacher, *_, file = table.rows
    assert teacher == ["teacher", "0.9900", "0.4000", "2", "0.6000", "50.0"]
    assert file == [".tflite int8", "0.9900", "", "", "0.6000", "50.0"]


def test_other_scores_have_a_column_each():
    table = scores_table(hand_made.results())
    assert table.headers == ["model", "calibration error"]
    assert table.rows[0] == ["teacher", "0.2500"]
    assert scores_table(hand_made.results(**hand_made.UNVERIFIED)) is None


def test_score_of_nan_is_an_empty_cell():
    results = hand_made.results("values")
    results.model_scores["teacher"].scores["mae"] = 0.5
    results.model_scores["control"].scores["mae"] = float("nan")
    rows = {title: cells for title, *cells in scores_table(results).rows}
    assert rows["teacher"] == ["0.2500", "0.5000"]
    assert rows["student on labels"] == ["0.2500", ""]


def test_class_without_a_score_has_an_empty_cell():
    table = per_class_table(
        ["a", "b"],
        [("one", [0.5, None]), ("two", [float("nan"), 1.0])],
        unit="class",
        score="IoU",
    )
    assert table.headers == ["class: IoU", "one", "two"]
    assert table.rows == [["a", "0.5000", ""], ["b", "", "1.0000"]]


@pytest.mark.parametrize(
    ("count", "unit", "summary"),
    [
        (30, "class", None),
        (31, "class", "31 classes"),
        (31, "value", "31 values"),
    ],
)
def test_long_table_of_classes_is_folded(count, unit, summary):
    names = [str(number) for number in range(count)]
    column = ("model", [0.5] * count)
    table = per_class_table(names, [column], unit=unit, score="IoU")
    assert table.summary == summary


def test_sparsity_has_what_was_skipped_and_why():
    record = hand_made.results().compressions["pruned"]
    table = sparsity_table(record).markdown
    assert re.search(r"\| a +\| +10 \| +0.5000 \| +\|", table)
    assert re.search(r"\| b +\| +4 \| +\| frozen", table)


@pytest.mark.parametrize(
    ("kind", "first", "num_rows"),
    [("images", "class", 4), ("masks", "class, pixels", 4), ("values", "", 1)],
)
def test_examples_are_counted_by_split_and_class(kind, first, num_rows):
    table = examples_table(hand_made.data(kind))
    assert table.headers[0] == (first or "examples")
    assert table.headers[1:] == ["train", "validation", "test"]
    assert table.rows[0] == ["all", "9", "6", "6"]
    assert len(table.rows) == num_rows
    if num_rows > 1:
        assert table.rows[1] == ["<cat>", "3", "2", "2"]


def test_jobs_have_the_epochs_of_what_they_made():
    results = hand_made.results(
        seconds={"prepare": 9, "distill": 59.96, "x": 3650}
    )
    assert jobs_table(results).rows == [
        ["prepare", "", "9.0 s"],
        ["distill", 2, "60.0 s"],
        ["x", "", "1 h 00 min"],
        ["all", "", "1 h 01 min"],
    ]
