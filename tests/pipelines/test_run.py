"""The command as its users see it, in processes of its own."""

import json
import resource
import shutil
import subprocess
import sys
import time

import pytest

from pipelines.workdir import Workdir
from tests.conftest import ROOT, run_pipeline

ROWS = [
    "teacher",
    "student on labels",
    "student distilled",
    "pruned",
    ".tflite weight-only int8",
    ".tflite int8",
]
STAGES = [
    "prepare",
    "teach",
    "control",
    "distill",
    "prune",
    "export",
    "quantize",
    "benchmark",
    "verify",
    "report",
]


@pytest.fixture
def copied(finished_run, tmp_path):
    """A finished run to do harm to."""
    return shutil.copytree(finished_run[0], tmp_path / "run")


def again(tiny_config, folder, *overrides):
    settings = [x for override in overrides for x in ("--set", override)]
    return run_pipeline("--config", tiny_config, "--workdir", folder, *settings)


def starts(done):
    return [
        line.split()[1].rstrip(":")  # after the time
        for line in done.stderr.splitlines()
        if ": starts (" in line
    ]


def test_run_ends_with_the_table_and_the_paths(finished_run):
    folder, done = finished_run
    lines = done.stdout.strip().splitlines()
    assert lines[-2:] == [f"{folder}/student.tflite", f"{folder}/report.html"]
    table = [line for line in lines if line.startswith("| ")]
    cells = [[c.strip() for c in row.split("|")[1:-1]] for row in table]
    assert [row[0] for row in cells[1:]] == ROWS
    assert all(cell for row in cells for cell in row)


def test_log_has_one_line_as_each_stage_starts_and_ends(finished_run):
    _, done = finished_run
    assert starts(done) == STAGES
    ends = [x for x in done.stderr.splitlines() if ": ends after " in x]
    assert len(ends) == len(STAGES)
    assert "Traceback" not in done.stderr


def test_run_folder_says_with_what_it_was_made(finished_run):
    run = json.loads((finished_run[0] / "run.json").read_text())
    assert run["seed"] == 3
    assert {"tensorflow", "keras", "kd_tf"} <= run["versions"].keys()
    assert {"git_commit", "git_dirty", "machine", "command"} <= run.keys()


def test_finished_run_is_skipped_without_tensorflow(tiny_config, copied):
    done = again(tiny_config, copied)
    assert done.returncode == 0
    assert starts(done) == []
    assert ROWS[0] in done.stdout
    code = (
        "import sys; from pipelines.run import main; sys.argv[1:] = "
        f"['--config', '{tiny_config}', '--workdir', '{copied}']\n"
        "try: main()\nfinally: assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == 0


def test_resolved_config_runs_the_same(copied):
    config = copied / "config.yaml"
    done = run_pipeline("--config", config, "--workdir", copied)
    assert (done.returncode, starts(done)) == (0, [])


def test_changing_quantize_alone(tiny_config, copied):
    done = again(tiny_config, copied, "quantize.release=weight_only_int8")
    assert done.returncode == 0
    assert starts(done) == STAGES[STAGES.index("quantize") :]


def test_corrupted_artefact_is_made_again(tiny_config, copied, finished_run):
    damaged = copied / "tflite" / "int8.tflite"
    damaged.write_bytes(b"\0" + damaged.read_bytes()[1:])
    (copied / "student.tflite").unlink()
    done = again(tiny_config, copied)
    assert done.returncode == 0
    assert "quantize: starts (tflite/int8.tflite is corrupted)" in done.stderr
    for name in ("tflite/int8.tflite", "student.tflite"):
        expected = (finished_run[0] / name).read_bytes()
        assert (copied / name).read_bytes() == expected


def test_missed_budget_refuses_the_file_and_says_by_how_much(
    tiny_config, copied
):
    done = again(tiny_config, copied, "budget.max_size_kb=1")
    assert done.returncode == 3
    assert "Refused: max_size_kb missed: allowed 1, measured" in done.stderr
    assert not (copied / "student.tflite").exists()
    assert (copied / "student.refused.tflite").exists()
    assert "too much" in (copied / "report.md").read_text()
    assert again(tiny_config, copied, "budget.max_size_kb=1").returncode == 3
    assert again(tiny_config, copied).returncode == 0
    assert not (copied / "student.refused.tflite").exists()


def kill_when(command, moment, delay=0.0):
    """Starts a run and kills it when a file appears that `moment` globs."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not moment() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    assert process.wait() == -9


def test_killed_at_any_moment_ends_in_the_same_bytes(
    tiny_config, finished_run, tmp_path
):
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "pipelines.run", "--config"]
    command += [str(tiny_config), "--workdir", str(folder)]

    def there(pattern):
        return lambda: any(folder.glob(pattern))

    kill_when(command, there("partial/prepare/*"))
    kill_when(command, there("partial/teach/*/state.npz"))
    kill_when(command, there("partial/prune/*/*/state.npz"))
    kill_when(command, there("records/prune.json"), delay=1.5)
    done = again(tiny_config, folder)
    assert done.returncode == 0
    assert starts(done) == STAGES[STAGES.index("export") :]
    expected = (finished_run[0] / "student.tflite").read_bytes()
    assert (folder / "student.tflite").read_bytes() == expected
    # Resumed in the middle, training left the very same history.
    for stage in ("teach", "prune"):
        results = [
            Workdir(path).record(stage)["result"]
            for path in (folder, finished_run[0])
        ]
        assert results[0] == results[1]


def test_stages_can_be_switched_off(tiny_config, tmp_path, monkeypatch):
    # Whatever backend the user's own work is on.
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    off = ["teacher", "distill", "prune", "quantize", "verify", "benchmark"]
    done = again(
        tiny_config, tmp_path / "run", *[f"{x}.enabled=false" for x in off]
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert starts(done) == ["prepare", "control", "export", "report"]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    rows = {row["id"]: row for row in report["rows"]}
    assert rows.keys() == {"control", "float"}
    assert rows["control"]["parameters"] > 0
    assert "test_score" not in rows["control"]


def test_student_that_is_handed_in_goes_down_the_rest_of_the_road(
    tiny_config, finished_run, tmp_path
):
    student = finished_run[0] / "models" / "student.keras"
    done = again(
        tiny_config,
        tmp_path / "run",
        f"student.path={student}",
        f"teacher.path={finished_run[0] / 'models' / 'teacher.keras'}",
        "prune.enabled=false",
        "benchmark.enabled=false",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "control" not in starts(done)
    scores = [
        Workdir(path).record("verify")["result"]["model_scores"]["student"]
        for path in (tmp_path / "run", finished_run[0])
    ]
    assert scores[0] == scores[1]


def test_plan_runs_nothing(tiny_config, tmp_path):
    folder = tmp_path / "run"
    done = run_pipeline("--config", tiny_config, "--workdir", folder, "--plan")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == STAGES
    assert not folder.exists()


def test_second_run_on_one_folder_is_refused(tiny_config, copied):
    with Workdir(copied).locked():
        done = again(tiny_config, copied)
    assert done.returncode == 2
    assert "is in use by another run" in done.stderr


def test_help_answers(tiny_config):
    done = run_pipeline("--help")
    assert done.returncode == 0
    assert "--plan" in done.stdout


WRONG = {
    "no config": ([], "the following arguments are required: --config"),
    "unknown flag": (["--config", "x", "--fast"], "--fast"),
    "no such file": (["--config", "no.yaml"], "no.yaml cannot be read. Give"),
    "unknown key": (
        ["--set", "distill.temprature=2"],
        "distill has no key 'temprature'. Did you mean 'temperature'?",
    ),
    "empty split": (
        ["--set", "data.validation_fraction=1e-6"],
        "The validation split is empty",
    ),
    "unknown tfds name": (
        ["--set", "data.source=tfds", "--set", "data.name=mnits"],
        "There is no TFDS data set 'mnits'",
    ),
    "no such function": (
        ["--set", "teacher.model=os:nothing", "--set", "teacher.args={}"],
        "The model 'os:nothing' cannot be imported. Write",
    ),
    "folder cannot be made": (["--workdir", "setup.cfg/run"], "setup.cfg"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_wrong_input_gets_a_message_and_status_2(
    tiny_config, tmp_path, arguments, message
):
    if arguments and "--config" not in arguments:
        folder = ["--workdir", tmp_path / "run"]
        arguments = ["--config", tiny_config, *folder, *arguments]
    done = run_pipeline(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_message_is_the_line_and_nothing_else(tiny_config, tmp_path):
    config = tmp_path / "file.yaml"
    config.write_text(tiny_config.read_text() + "distill:\n  temprature: 3\n")
    line = len(config.read_text().splitlines())
    done = run_pipeline("--config", config)
    assert done.stderr == (
        f"{config}:{line}: distill has no key 'temprature'. "
        "Did you mean 'temperature'?\n"
    )


def test_full_disk_gets_a_message_and_loses_nothing(tiny_config, tmp_path):
    # No file may grow over 100 kB: the data fit, the checkpoint does not.
    folder = tmp_path / "run"
    limit = (100_000, 100_000)
    done = run_pipeline(
        *("--config", tiny_config, "--workdir", folder),
        *("--set", "teacher.args={filters: [64, 64]}"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert done.returncode == 2
    assert "The disk is full. Make room for the run folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "records" / "prepare.json").exists()
    assert not (folder / "records" / "teach.json").exists()


def test_run_is_a_function_that_returns_typed_results(tiny_config, copied):
    code = (
        "import sys; from pipelines.run import run, read_results\n"
        f"results = run({str(tiny_config)!r}, {str(copied)!r})\n"
        "assert 'tensorflow' not in sys.modules\n"
        f"assert results == read_results({str(copied)!r})\n"
        "print(results.released, results.reference, len(results.variants),"
        " results.missed, results.costs['int8'].size_bytes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    size = (copied / "student.tflite").stat().st_size
    assert done.stdout.split() == ["int8", "teacher", "6", "[]", str(size)], (
        done.stderr
    )


def test_verify_and_table_have_the_same_latency(tiny_config, copied):
    done = again(tiny_config, copied, "budget.max_latency_ms=1000")
    assert done.returncode == 0
    report = json.loads((copied / "report.json").read_text())
    [limit] = [x for x in report["limits"] if x["name"] == "max_latency_ms"]
    rows = {row["id"]: row for row in report["rows"]}
    assert limit["measured"] == rows["int8"]["p50_ms"]
    assert "benchmark: skipped" in done.stderr
