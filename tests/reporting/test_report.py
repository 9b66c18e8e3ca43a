import dataclasses
import json
import re

import pytest
from PIL import Image

from kd_tf.reporting.report import write_report
from kd_tf.results import Limit, Results, Variant, from_json
from tests.reporting import hand_made

PICTURES_OF_EVERY_KIND = {
    "score_against_size",
    "score_against_latency",
    "schedule_learning_rate",
    "training_teacher_loss",
    "training_teacher_score",
    "training_student_losses",
    "training_pruned_score",
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


def names_of(paths):
    return {re.sub(r"pictures/|\.png", "", path) for path in paths}


@pytest.mark.parametrize("kind", hand_made.KINDS)
def test_page_of_every_kind(tmp_path, kind):
    folder = hand_made.verification(kind, tmp_path / "verification")
    names = write_report(hand_made.results(kind), folder, tmp_path)
    assert names[:4] == ["report.html", "report.md", "report.json", "table.md"]
    pictures = names_of(names[4:])
    assert pictures >= PICTURES[kind] | PICTURES_OF_EVERY_KIND
    assert not (pictures & EXAMPLES) - PICTURES[kind]
    page = (tmp_path / "report.html").read_text()
    assert page.count("<img ") == len(names) - 4
    assert len(page) < 4e6
    assert "&lt;cat&gt;" in page
    assert "<cat>" not in page
    assert "Examples left out: 1" in page
    assert "35.7 % of all weights are zero." in page
    assert "Adapters: 1,000 parameters" in page
    assert "Lower the temperature." in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    for name in names[4:]:
        assert f"]({name})" in (tmp_path / "report.md").read_text()


def test_json_is_the_results_and_their_rows(tmp_path):
    results = hand_made.results("masks")
    write_report(results, None, tmp_path)
    text = (tmp_path / "report.json").read_text()
    assert from_json(Results, text) == results
    rows = {row["id"]: row for row in json.loads(text)["rows"]}
    assert list(rows) == [v.name for v in hand_made.VARIANTS]
    assert rows["int8"]["bytes"] == 5000
    assert "best_epoch" not in rows["int8"]


def test_the_same_results_make_the_same_bytes(tmp_path):
    folder = hand_made.verification("masks", tmp_path / "verification")
    results = hand_made.results("masks")
    written = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        names = write_report(results, folder, tmp_path / name)
        written.append([(tmp_path / name / n).read_bytes() for n in names])
    assert written[0] == written[1]


def test_pictures_are_sharp_and_carry_nothing_but_pixels(tmp_path):
    results = hand_made.results(**hand_made.UNVERIFIED)
    names = write_report(results, None, tmp_path)
    assert len(names) > 4
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


@pytest.mark.parametrize("kind", ["html", "md"])
@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ([Limit("max_size_kb", 20, 5)], "meets its budget."),
        ([Limit("max_size_kb", 20, 5)], "max_size_kb: 5 of 20"),
        ([Limit("max_size_kb", 2, 5)], "does not meet its budget"),
        ([Limit("max_size_kb", 2, 5)], "allowed 2, measured 5, 3 too much"),
        ([], "meets its budget."),
        (None, "Released unverified"),
    ],
)
def test_verdict(tmp_path, limits, words, kind):
    results = dataclasses.replace(hand_made.bare(), trainings={}, limits=limits)
    write_report(results, None, tmp_path)
    page = (tmp_path / f"report.{kind}").read_text()
    assert words in page
    assert ("Refused" in page) == bool(results.missed)


def test_bare_run_makes_a_report(tmp_path):
    results = dataclasses.replace(
        hand_made.bare(), not_made={"student": "it crashed"}
    )
    names = write_report(results, None, tmp_path)
    assert names[4:] == [
        f"pictures/training_student_{what}.png"
        for what in ("loss", "score", "losses")
    ]
    text = (tmp_path / "report.md").read_text()
    assert "Not made: student distilled. it crashed" in text


def test_run_without_a_reference_shows_the_model_and_the_file(tmp_path):
    results = hand_made.without(hand_made.results("masks"), "teacher")
    folder = hand_made.verification(
        "masks", tmp_path / "verification", results.variants
    )
    names = write_report(results, folder, tmp_path)
    assert "pictures/example_04.png" in names
    text = (tmp_path / "report.md").read_text()
    assert re.search(r"\| class: average precision +\| +pruned \|", text)


def test_variants_may_be_many_and_of_any_name(tmp_path):
    models = [
        Variant(
            f"m {n}: <x>", f"model <{n}>", "fit", taught_by=f"m {n - 1}: <x>"
        )
        for n in range(10)
    ]
    models[0] = dataclasses.replace(models[0], taught_by=None)
    files = [
        Variant(f"f{n}", f"file {n}", "pack", f"m {n}: <x>", is_file=True)
        for n in range(10)
    ]
    full = hand_made.results()
    names = [v.name for v in (*models, *files)]
    results = hand_made.results(
        variants=[*models, *files],
        released="f7",
        reference=models[0].name,
        trainings=dict.fromkeys(
            (names[0], names[9]), full.trainings["student"]
        ),
        model_scores=dict.fromkeys(names[:10], full.model_scores["student"]),
        file_scores=dict.fromkeys(names, full.file_scores["student"]),
        costs=dict.fromkeys(names, hand_made.COST),
        compressions=dict.fromkeys(names[:10], full.compressions["pruned"]),
        seconds={"fit": 2.0},
    )
    folder = hand_made.verification(
        "images", tmp_path / "verification", results.variants
    )
    written = write_report(results, folder, tmp_path)
    assert len(set(written)) == len(written)
    assert "pictures/training_m_9_x__loss.png" in written
    page = (tmp_path / "report.html").read_text()
    assert "<x>" not in page
    assert "model &lt;9&gt;" in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    table = (tmp_path / "table.md").read_text()
    assert len(table.splitlines()) == 2 + 20
    text = (tmp_path / "report.md").read_text()
    # The reference, the file's model, and the file.
    assert re.search(r"precision +\| +model <0> \| +model <7> \| +file 7", text)
    assert re.search(r"\| fit +\| +4 \|", text)
