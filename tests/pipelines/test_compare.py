import json
import shutil
import subprocess
import sys

import pytest

from pipelines.compare import differences, main
from tests import hand_made
from tests.conftest import ROOT

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
    # File, against teacher, teacher, control, student, gain, bytes, p50, seed.
    figures = "0.8000 -0.1000 0.9000 0.7000 0.7500 +0.0500 5,000 0.5000 1"
    for run in ("first", "second"):
        assert ["", run, *figures.split(), "", ""] in lines
    assert ["", "distill.losses.1.weight", "5", "6", ""] in lines
    assert "data.mean" not in text
    for name in (
        "score_against_size",
        "score_against_latency",
        "training_teach",
        "training_distill",
        "precision_recall_micro",
        "calibration",
    ):
        assert (out / "pictures" / f"{name}.png").is_file()
        assert f"(pictures/{name}.png)" in text
    assert "first, second" in (out / "compare.html").read_text()


def test_equal_configs_are_said_to_be(runs, tmp_path):
    config = CONFIG.format(name="trial", weight=1)
    for run in runs:
        hand_made.change(run, config=config)
    assert compare(*runs, out=tmp_path / "out") == 0
    assert "configs are the same" in (tmp_path / "out/compare.md").read_text()


def test_what_one_run_lacks_is_an_empty_cell(runs, tmp_path):
    bare = hand_made.stages("masks", "control", "verify", "benchmark")
    rows = [
        {k: v for k, v in row.items() if k in ("id", "model", "parameters")}
        for row in json.loads((runs[1] / "report.json").read_text())["rows"]
    ]
    hand_made.change(runs[1], stages=bare, rows=rows)
    assert compare(*runs, out=tmp_path / "out") == 0
    text = (tmp_path / "out/compare.md").read_text()
    [line] = [x for x in text.splitlines() if x.startswith("| second")][:1]
    assert line.replace(" ", "") == "|second|||||||||1||"


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, tmp_path):
    other = tmp_path / "elsewhere" / "first"
    shutil.copytree(runs[0], other)
    assert compare(runs[0], other, out=tmp_path / "out") == 0
    text = (tmp_path / "out/compare.md").read_text()
    assert "| elsewhere/first " in text
    assert f"| {tmp_path.name}/first " in text


def spoil_json(folder):
    (folder / "report.json").write_text("{")


def spoil_form(folder):
    (folder / "report.json").write_text('{"rows": []}')


def remove_report(folder):
    (folder / "report.json").unlink()


def older_version(folder):
    stages = json.loads((folder / "report.json").read_text())["stages"]
    del stages["prepare"]["task"]
    hand_made.change(folder, stages=stages)


def other_task(folder):
    hand_made.change(folder, stages=hand_made.stages("values"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_json, "second is no finished run. Allowed: folders of runs"),
        (spoil_form, "report.json without config, environment, seed, stages"),
        (remove_report, "second is no finished run. Allowed: folders of runs"),
        (older_version, "report.json of a version that knew no tasks"),
        (other_task, "Allowed: runs of one task. Received: first: segment"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    runs, tmp_path, capsys, spoil, message
):
    spoil(runs[1])
    assert compare(*runs, out=tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("Received: ") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", [1, 2])
def test_one_run_alone_is_refused(runs, tmp_path, capsys, count):
    assert compare(*[runs[0]] * count, out=tmp_path / "out") == 2
    assert "Allowed: two or more different" in capsys.readouterr().err


def test_differences_of_keys_that_come_and_go(runs):
    from kd_tf.reporting.comparison import Run

    configs = ["a: {b: 1, c: {}}\n", "a: {b: 1, c: {d: null}}\nlist: [1, 2]\n"]
    found = [Run(str(n), {"config": c}, None) for n, c in enumerate(configs)]
    assert differences(found) == {
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
