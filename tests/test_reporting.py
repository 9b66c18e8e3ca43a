import json
import re

import numpy as np
import pytest

from kd_tf import write_report
from kd_tf.reporting.tables import main_table, result_rows, sparsity_table

LOGS = {"loss": 1.0, "val_loss": 1.1, "accuracy": 0.5, "val_accuracy": 0.4}
TRAINED = {
    "history": [LOGS, LOGS],
    "best_epoch": 2,
    "validation_accuracy": 0.4,
    "parameters": 1234,
}
PRUNING = {
    "layers": [
        {"layer": "a", "weights": 10, "zeros": 5, "kernel_sparsity": 0.5},
        {"layer": "b", "weights": 4, "zeros": 0, "skipped": "frozen"},
    ],
    "sparsity": 5 / 14,
}
COSTS = {"bytes": 5000, "gzip_bytes": 4000, "p50_ms": 0.5, "p95_ms": 0.6}
FILES = ("teacher", "control", "student", "pruned", "weight_only_int8", "int8")
CHECKED = {"accuracy": 0.8, "agreement": 0.99}
STAGES = {
    "prepare": {"class_names": ["<cat>", "dog"]},
    "teach": TRAINED,
    "control": TRAINED,
    "distill": TRAINED,
    "prune": {**TRAINED, "pruning": PRUNING},
    "quantize": {"recipes": {"weight_only_int8": {}, "int8": {}}},
    "export": {"delivered": "int8", "made_from": "pruned", "not_converted": {}},
    "verify": {
        "models": {"teacher": 0.9, "control": 0.7, "student": 0.75},
        "files": dict.fromkeys(FILES, CHECKED),
        "limits": ["max_size_kb: 5 of 20"],
        "missed": [],
    },
    "benchmark": dict.fromkeys(FILES, COSTS),
}


def without(*names):
    return {key: value for key, value in STAGES.items() if key not in names}


def results(stages):
    return {
        "name": "trial",
        "seed": 1,
        "environment": {
            "versions": {"kd_tf": "0"},
            "python": "3",
            "machine": "a machine",
            "git_commit": None,
            "git_dirty": None,
        },
        "config": "name: trial\n",
        "stages": stages,
    }


@pytest.fixture
def predictions(tmp_path):
    path = tmp_path / "predictions.npz"
    np.savez(path, labels=np.array([0, 1, 1]), int8=np.array([0, 1, 0]))
    return path


def test_table_has_the_rows_of_the_road():
    lines = main_table(result_rows(STAGES)).splitlines()
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
        ["teacher", "0.9000", *costs],
        ["student on labels", "0.7000", *costs],
        ["student distilled", "0.7500", *costs],
        ["pruned", "0.8000", *costs],
        [".tflite weight-only int8", "0.8000", *costs],
        [".tflite int8", "0.8000", *costs],
    ]


@pytest.mark.parametrize(
    ("off", "row", "empty"),
    [
        ("verify", "teacher", {"test_accuracy", "agreement"}),
        ("benchmark", "int8", {"bytes", "gzip_bytes", "p50_ms", "p95_ms"}),
        ("prune", "pruned", {"parameters", "validation_accuracy"}),
        ("control", "control", {"parameters", "best_epoch"}),
    ],
)
def test_what_was_not_measured_is_absent(off, row, empty):
    stages = without(off)
    stages["export"] = {**STAGES["export"], "made_from": "student"}
    found = {r["id"]: r for r in result_rows(stages)}[row]
    assert not empty & found.keys()
    whole = {r["id"]: r for r in result_rows(STAGES)}[row]
    assert empty <= whole.keys()


def test_files_without_quantization():
    export = {**STAGES["export"], "delivered": "float"}
    rows = result_rows({**without("quantize"), "export": export})
    found = {row["id"]: row for row in rows}
    assert found["float"]["parameters"] == 1234
    assert "parameters" not in found["int8"]


def test_sparsity_says_what_was_skipped_and_why():
    table = sparsity_table(PRUNING)
    assert re.search(r"\| a +\| +10 \| +0.5000 \| +\|", table)
    assert re.search(r"\| b +\| +4 \| +\| +frozen", table)


def test_page_is_self_contained(tmp_path, predictions):
    names = write_report(results(STAGES), predictions, tmp_path)
    assert names == ["report.html", "report.md", "report.json", "table.md"]
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 6
    assert "&lt;cat&gt;" in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    assert json.loads((tmp_path / "report.json").read_text())["rows"]


def test_gain_of_distillation_is_said_with_its_sign(tmp_path, predictions):
    write_report(results(STAGES), predictions, tmp_path)
    assert (
        "test accuracy by +0.0500 against"
        in (tmp_path / "report.md").read_text()
    )


@pytest.mark.parametrize("kind", ["html", "md"])
@pytest.mark.parametrize(
    ("verify", "words"),
    [
        (STAGES["verify"], "Delivered"),
        ({**STAGES["verify"], "missed": ["size missed: 3 kB"]}, "3 kB"),
        (None, "Delivered unverified"),
    ],
)
def test_verdict(tmp_path, predictions, verify, words, kind):
    stages = (
        without("verify") if verify is None else {**STAGES, "verify": verify}
    )
    write_report(results(stages), verify and predictions, tmp_path)
    page = (tmp_path / f"report.{kind}").read_text()
    assert words in page
    assert ("Refused" in page) == bool(verify and verify["missed"])


def test_bare_run_makes_a_report(tmp_path):
    stages = without(
        "teach", "control", "prune", "quantize", "verify", "benchmark"
    )
    stages["export"] = {
        "delivered": "float",
        "made_from": "student",
        "not_converted": {"teacher": "it crashed"},
    }
    write_report(results(stages), None, tmp_path)
    assert (
        "Not made: teacher. it crashed" in (tmp_path / "report.md").read_text()
    )
