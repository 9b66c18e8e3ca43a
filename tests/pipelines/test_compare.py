import json
import shutil
import subprocess
import sys

import pytest

from kd_tf.reporting.comparison import FinishedRun
from kd_tf.results import Limit
from pipelines.compare import differences, main, read_runs
from tests.conftest import ROOT
from tests.reporting import hand_made

CONFIG = """\
name: {name}
data: {{mean: [0, 1]}}
distill:
  losses:
  - {{name: soft_targets, weight: {weight}}}
"""


@pytest.fixture(scope="module")
def one_run(tmp_path_factory):
    return hand_made.finished("masks", tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture
def runs(one_run, tmp_path):
    """Two folders of runs that differ in their configs."""
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        shutil.copytree(one_run, folder)
        config = CONFIG.format(name="trial", weight=len(folder.name))
        hand_made.change(folder, config=config)
    return folders


def compare(*runs, out):
    return main([*map(str, runs), "--out", str(out)])


def test_page_has_a_row_a_run_and_the_keys_that_differ(runs, tmp_path, capsys):
    out = tmp_path / "out"
    assert compare(*runs, out=out) == 0
    assert capsys.readouterr().out == f"{out}/compare.html\n"
    text = (out / "compare.md").read_text()
    lines = [[c.strip() for c in x.split("|")] for x in text.splitlines()]
    # File, against reference, the four Keras models, gain, bytes, p50, seed.
    scores = "0.8000 -0.1000 0.9000 0.7000 0.7500 0.7400 +0.0500"
    for run in ("first", "second"):
        assert ["", run, *scores.split(), "5,000", "0.5000", "1", "", ""] in (
            lines
        )
    assert ["", "distill.losses.1.weight", "5", "6", ""] in lines
    assert "data.mean" not in text
    for name in (
        "score_against_size",
        "score_against_latency",
        "training_teacher",
        "training_student_distilled",
        "precision_recall_micro",
        "calibration",
    ):
        assert (out / "pictures" / f"{name}.png").is_file()
        assert f"(pictures/{name}.png)" in text
    assert "| class: average precision" in text
    assert "first, second" in (out / "compare.html").read_text()


def test_equal_configs_are_reported_as_such(runs, tmp_path):
    config = CONFIG.format(name="trial", weight=1)
    for run in runs:
        hand_made.change(run, config=config)
    assert compare(*runs, out=tmp_path / "out") == 0
    assert "configs are the same" in (tmp_path / "out/compare.md").read_text()


def test_what_one_run_lacks_is_an_empty_cell(runs, tmp_path):
    hand_made.change(
        runs[1], trainings={}, costs={}, seconds={}, **hand_made.UNVERIFIED
    )
    assert compare(*runs, out=tmp_path / "out") == 0
    text = (tmp_path / "out/compare.md").read_text()
    [line] = [x for x in text.splitlines() if x.startswith("| second")][:1]
    assert line.replace(" ", "") == "|second||||||||||1||"


def test_curves_of_an_older_verification_are_not_drawn(runs):
    assert [run.verification for run in read_runs([*map(str, runs)])] == [
        str(run / "verification") for run in runs
    ]
    hand_made.change(runs[1], limits=None)
    assert read_runs([*map(str, runs)])[1].verification is None


def test_refused_run_says_for_what(runs, tmp_path):
    hand_made.change(runs[0], limits=[Limit("max_size_kb", 1, 5)])
    assert compare(*runs, out=tmp_path / "out") == 0
    text = (tmp_path / "out/compare.md").read_text()
    assert text.count("max_size_kb missed: allowed 1, measured 5") == 1


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, tmp_path):
    other = tmp_path / "elsewhere" / "first"
    shutil.copytree(runs[0], other)
    assert compare(runs[0], other, out=tmp_path / "out") == 0
    text = (tmp_path / "out/compare.md").read_text()
    assert "| elsewhere/first " in text
    assert f"| {tmp_path.name}/first " in text


def write_broken_json(folder):
    (folder / "report.json").write_text("{")


def write_bytes(folder):
    (folder / "report.json").write_bytes(b"\xff\xfe")


def remove_report(folder):
    (folder / "report.json").unlink()


def write_other_fields(folder):
    (folder / "report.json").write_text('{"rows": [], "stages": {}}')


def write_list(folder):
    (folder / "report.json").write_text("[]")


def remove_task(folder):
    tree = json.loads((folder / "report.json").read_text())
    del tree["data"]["task"]
    (folder / "report.json").write_text(json.dumps(tree))


def change_task(folder):
    hand_made.change(folder, data=hand_made.data("values"))


NOT_FINISHED = "second is not a finished run. Let it run until its report"
OTHER_VERSION = "report.json was not written by this version of kd_tf. Run"


@pytest.mark.parametrize(
    ("spoil", "messages"),
    [
        (write_broken_json, [NOT_FINISHED, "Invalid JSON"]),
        (write_bytes, [NOT_FINISHED]),
        (remove_report, [NOT_FINISHED, "No such file"]),
        (write_other_fields, [OTHER_VERSION, "no environment; no config"]),
        (write_list, [OTHER_VERSION]),
        (remove_task, [OTHER_VERSION, "Received: no data.task\n"]),
        (
            change_task,
            ["Compare runs of one task. Received: first: segmentation, second"],
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(
    runs, tmp_path, capsys, spoil, messages
):
    spoil(runs[1])
    assert compare(*runs, out=tmp_path / "out") == 2
    error = capsys.readouterr().err
    for message in messages:
        assert message in error
    assert error.count("Received: ") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", [1, 2])
def test_one_run_alone_is_refused(runs, tmp_path, capsys, count):
    assert compare(*[runs[0]] * count, out=tmp_path / "out") == 2
    assert "needs two or more different" in capsys.readouterr().err


def test_differences_of_keys_that_come_and_go():
    configs = ["a: {b: 1, c: {}}\n", "a: {b: 1, c: {d: null}}\nlist: [1, 2]\n"]
    runs = [
        FinishedRun(str(number), hand_made.results(config=config), None)
        for number, config in enumerate(configs)
    ]
    assert differences(runs) == {
        "a.c": ["{}", ""],
        "list": ["", "[1, 2]"],
    }


def test_command_compares_without_tensorflow(runs, tmp_path):
    code = (
        "import sys; from pipelines.run import main\n"
        f"sys.argv[1:] = ['compare', {str(runs[0])!r}, {str(runs[1])!r}, "
        f"'--out', {str(tmp_path / 'out')!r}]\n"
        "try:\n    main()\n"
        "finally:\n    assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path}/out/compare.html\n"
