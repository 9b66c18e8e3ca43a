from kd_tf.reporting.run_table import run_table
from tests.reporting import hand_made


def cells(table):
    return [dict(zip(table.headers, row, strict=True)) for row in table.rows]


def test_models_that_all_runs_have_have_a_column():
    full = hand_made.results()
    table = run_table(["a", "b"], [full, hand_made.without(full, "control")])
    assert table.headers == [
        "run",
        "accuracy of the file",
        "against reference",
        "teacher",
        "student distilled",
        "pruned",
        "gain of student distilled",
        "bytes",
        "p50 ms",
        "seed",
        "refused for",
    ]
    first, second = cells(table)
    assert first["gain of student distilled"] == "+0.0500"
    assert second["gain of student distilled"] == ""
    assert first["against reference"] == "-0.1000"


def test_column_without_any_figure_is_left_out():
    unverified = hand_made.results(**hand_made.UNVERIFIED)
    table = run_table(["a", "b"], [unverified, unverified])
    assert table.headers == ["run", "bytes", "p50 ms", "seed", "refused for"]


def test_limits_that_are_missed_are_listed():
    from kd_tf.results import Limit

    limits = [Limit("max_size_kb", 2, 3), Limit("max_latency_ms", 2, 1)]
    runs = [hand_made.results(limits=limits), hand_made.results()]
    refused = [row["refused for"] for row in cells(run_table("ab", runs))]
    assert refused == [
        "max_size_kb missed: allowed 2, measured 3, 1 too much",
        "",
    ]
