import json
import re

import numpy as np
import pytest
from PIL import Image

from kd_tf import write_report
from kd_tf.reporting.headline import headline
from kd_tf.reporting.quality import average_precision, confusions
from kd_tf.reporting.tables import (
    as_table,
    main_table,
    result_rows,
    scores_table,
    sparsity_table,
)
from kd_tf.reporting.training import scheduled
from kd_tf.tasks.scoring import Curves
from pipelines.config.loading import load_config
from pipelines.schedules import schedules
from tests import hand_made

PICTURES_OF_EVERY_KIND = {
    "score_against_size",
    "score_against_latency",
    "schedule_learning_rate",
    "training_teach_loss",
    "training_teach_score",
    "training_distill_losses",
    "training_prune_score",
}
CURVES = {
    "precision_recall_micro",
    *(f"precision_recall_class_{c}" for c in range(3)),
}
SURE = {"calibration", "confusion"}
EXAMPLES = {f"example_{number:02}" for number in range(1, 5)}
PICTURES = {
    "images": CURVES | SURE | EXAMPLES,
    "recordings": CURVES | SURE | EXAMPLES,
    "columns": CURVES | SURE,
    "masks": CURVES | SURE | EXAMPLES,
    "labels": CURVES | EXAMPLES,
    "values": {f"values_{value}" for value in range(3)},
}


def rows_of(stages):
    return {row["id"]: row for row in result_rows(stages)}


def test_table_has_the_rows_of_the_road():
    rows = result_rows(hand_made.stages("images"))
    lines = main_table(rows, "accuracy").splitlines()
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


@pytest.mark.parametrize(
    ("off", "row", "empty"),
    [
        ("verify", "teacher", {"test_score", "agreement"}),
        ("benchmark", "int8", {"bytes", "gzip_bytes", "p50_ms", "p95_ms"}),
        ("prune", "pruned", {"parameters", "validation_score"}),
        ("control", "control", {"parameters", "best_epoch"}),
    ],
)
def test_what_was_not_measured_is_absent(off, row, empty):
    stages = hand_made.stages("images", off)
    stages["export"]["made_from"] = "student"
    assert not empty & rows_of(stages)[row].keys()
    assert empty <= rows_of(hand_made.stages("images"))[row].keys()


def test_files_without_quantization():
    stages = hand_made.stages("images", "quantize")
    stages["export"]["released"] = "float"
    assert rows_of(stages)["float"]["parameters"] == 1234
    assert "parameters" not in rows_of(stages)["int8"]


def test_sparsity_says_what_was_skipped_and_why():
    table = sparsity_table(hand_made.stages("images")["prune"]["pruning"])
    assert re.search(r"\| a +\| +10 \| +0.5000 \| +\|", table)
    assert re.search(r"\| b +\| +4 \| +\| frozen", table)


def test_a_score_that_is_no_number_is_an_empty_cell():
    found = hand_made.stages("values")
    found["verify"]["models"]["teacher"]["r2"] = float("nan")
    [teacher, *_] = result_rows(found)
    assert "test_score" not in teacher
    assert "nan" not in scores_table(found, result_rows(found))


def test_a_bar_in_a_name_is_no_border_of_a_table():
    assert "a\\|b" in as_table([["1", "1"]], ["class", "a|b"])
    assert "a\\|b" in as_table([["a|b", "1"]], ["class", "times"])
    assert "a|b" in as_table([["a|b", "1"]], ["class", "times"], "html")


@pytest.mark.parametrize("kind", hand_made.KINDS)
def test_page_of_every_kind(tmp_path, kind):
    folder = hand_made.verification(kind, tmp_path / "verification")
    results = hand_made.results(hand_made.stages(kind))
    names = write_report(results, folder, tmp_path)
    assert names[:4] == ["report.html", "report.md", "report.json", "table.md"]
    pictures = {re.sub(r"pictures/|\.png", "", name) for name in names[4:]}
    assert pictures >= PICTURES[kind] | PICTURES_OF_EVERY_KIND
    assert not (pictures & EXAMPLES) - PICTURES[kind]
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img ") == len(names) - 4
    assert len(page) < 4e6
    assert "&lt;cat&gt;" in page
    assert "<cat>" not in page
    assert "Told of the data and gone on: 1" in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    assert json.loads((tmp_path / "report.json").read_text())["rows"]
    for name in names[4:]:
        assert f"]({name})" in (tmp_path / "report.md").read_text()


def test_the_same_results_make_the_same_bytes(tmp_path):
    folder = hand_made.verification("masks", tmp_path / "verification")
    results = hand_made.results(hand_made.stages("masks"))
    written = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        names = write_report(results, folder, tmp_path / name)
        written.append([(tmp_path / name / n).read_bytes() for n in names])
    assert written[0] == written[1]


def test_pictures_are_sharp_and_carry_nothing_but_pixels(tmp_path):
    results = hand_made.results(hand_made.stages("images", "verify"))
    names = write_report(results, None, tmp_path)
    page = (tmp_path / "report.html").read_text()
    sizes = re.findall(r'width="(\d+)" height="(\d+)"', page)
    for name, size in zip(names[4:], sizes, strict=True):
        with Image.open(tmp_path / name) as image:
            assert not image.info.keys() - {"dpi"}
            drawn = image.size
        assert all(
            abs(pixels - 2 * int(shown)) <= 1
            for pixels, shown in zip(drawn, size, strict=True)
        )


def told(*off, kind="images", **scores):
    stages = hand_made.stages(kind, *off)
    for row, value in scores.items():
        for place in ("models", "files"):
            of_place = stages["verify"][place]
            if row in of_place:
                of_place[row] = dict.fromkeys(of_place[row], value)
    return " ".join(headline(stages, result_rows(stages)))


def test_headline_has_the_figures():
    text = told()
    assert "5 kB: 10 times smaller than its teacher's 50 kB" in text
    assert "0.5 ms: 4.0 times faster than its teacher's 2 ms" in text
    assert "0.8000: 10.00 points less than its teacher's 0.9000" in text
    assert "helped: 0.7500 against 0.7000" in text
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
    ],
)
def test_headline_says_plainly_what_came_out(scores, words):
    assert words in told(**scores)


def test_headline_of_values_counts_in_their_score():
    assert "0.1000 less than its teacher's" in told(kind="values")


@pytest.mark.parametrize(
    ("off", "absent"),
    [
        ("control", "Distillation"),
        ("verify", "Distillation"),
        ("benchmark", "times"),
    ],
)
def test_headline_is_silent_on_what_was_not_measured(off, absent):
    stages = hand_made.stages("images", off)
    if off == "control":
        del stages["verify"]["models"]["control"]
        del stages["verify"]["files"]["control"]
    assert absent not in " ".join(headline(stages, result_rows(stages)))


@pytest.mark.parametrize("kind", ["html", "md"])
@pytest.mark.parametrize(
    ("missed", "words"),
    [
        ([], "Delivered"),
        (["size missed: 3 kB"], "3 kB"),
        (None, "Delivered unverified"),
    ],
)
def test_verdict(tmp_path, missed, words, kind):
    stages = hand_made.stages("columns", *(["verify"] * (missed is None)))
    folder = None
    if missed is not None:
        stages["verify"]["missed"] = missed
        folder = hand_made.verification("columns", tmp_path / "verification")
    write_report(hand_made.results(stages), folder, tmp_path)
    page = (tmp_path / f"report.{kind}").read_text()
    assert words in page
    assert ("Refused" in page) == bool(missed)


def test_bare_run_makes_a_report(tmp_path):
    stages = hand_made.stages(
        "images",
        "teach",
        "control",
        "prune",
        "quantize",
        "verify",
        "benchmark",
    )
    stages["export"] = {
        "released": "float",
        "made_from": "student",
        "not_converted": {"teacher": "it crashed"},
    }
    results = hand_made.results(stages)
    # As an older report.json has it.
    del results["seconds"], results["schedules"]
    names = write_report(results, None, tmp_path)
    assert names[4:] == [
        f"pictures/training_distill_{what}.png"
        for what in ("loss", "score", "losses")
    ]
    text = (tmp_path / "report.md").read_text()
    assert "Not made: teacher. it crashed" in text


def test_a_run_without_a_teacher_shows_the_student_and_the_file(tmp_path):
    stages = hand_made.stages("masks", "teach", "control")
    folder = hand_made.verification("masks", tmp_path / "verification")
    for name in ("curves", "shown"):
        with np.load(folder / f"{name}.npz") as arrays:
            kept = {k: v for k, v in arrays.items() if "teacher" not in k}
        np.savez(folder / f"{name}.npz", **kept)
    for place in ("models", "files"):
        del stages["verify"][place]["teacher"]
    names = write_report(hand_made.results(stages), folder, tmp_path)
    assert "pictures/example_04.png" in names


def test_average_precision_matches_the_sum_done_by_hand():
    curves = Curves(1)
    curves.update(
        np.array([[0.9], [0.7], [0.4], [0.2]]),
        np.array([[True], [False], [True], [False]]),
    )
    # Right at the first, and at the third of three answers.
    area = average_precision(curves.arrays())
    np.testing.assert_allclose(area, (1 / 1 + 2 / 3) / 2)


def test_confusions_are_sorted_and_their_share_is_of_the_class():
    counts = np.array([[5, 0, 5], [1, 98, 1], [0, 0, 0]])
    assert confusions(counts, ["a", "b", "c"]) == [
        ("a", "c", "5", "50.0 %"),
        ("b", "a", "1", "1.0 %"),
        ("b", "c", "1", "1.0 %"),
    ]


@pytest.mark.parametrize(
    ("shape", "half"), [("linear", 3.0), ("cosine", 3.0), ("cubic", 1.5)]
)
def test_schedules_are_drawn_as_they_are_followed(shape, half):
    schedule = {"start": 5.0, "end": 1.0, "shape": shape, "ramp_epochs": 4}
    values = scheduled(schedule, np.array([0.0, 2.0, 4.0, 9.0]))
    np.testing.assert_allclose(values, [5.0, half, 1.0, 1.0])


def test_schedules_of_a_config_are_those_that_move(tiny_config):
    ramp = "{start: 4, end: 1, epochs: 2, shape: cosine}"
    config = load_config(tiny_config, [f"distill.temperature={ramp}"])
    found = schedules(config)
    assert list(found) == ["learning rate", "temperature", "sparsity"]
    assert list(found["temperature"]) == ["distill", "prune"]
    assert found["temperature"]["distill"] == {
        "start": 4.0,
        "end": 1.0,
        "shape": "cosine",
        "epochs": 3,
        "ramp_epochs": 2.0,
    }
    assert found["sparsity"]["prune"]["ramp_epochs"] == 1


def test_schedules_without_a_teacher_are_not_those_of_distillation(tiny_config):
    ramp = "distill.student_weight={start: 0, end: 1, epochs: 2}"
    off = ["teacher.enabled=false", "distill.enabled=false"]
    config = load_config(tiny_config, [ramp, *off])
    assert "student weight" not in schedules(config)
