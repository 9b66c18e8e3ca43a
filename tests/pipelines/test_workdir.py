import json
import os

import pytest

from pipelines.workdir import FolderInUseError, Workdir, digest, outcome

KEY = {"seed": 1, "after prepare": "abc", "file data.path": "123"}


def finish(workdir, key=KEY, text="content", names=("models/a.txt",)):
    scratch = workdir.partial("teach", key)
    artefacts = {}
    for name in names:
        path = f"{scratch}/{name.replace('/', '_')}"
        with open(path, "w") as file:
            file.write(text)
        artefacts[name] = path
    return workdir.finish("teach", key, artefacts, {"found": 1}, 2.0)


@pytest.fixture
def workdir(tmp_path):
    return Workdir(tmp_path / "run")


def test_finished_stage_is_valid(workdir):
    finish(workdir)
    assert workdir.reason_to_run("teach", KEY) is None
    assert read(workdir.file("models/a.txt")) == "content"


CHANGES = [
    ({**KEY, "seed": 2}, "seed was 1, is 2"),
    ({**KEY, "after prepare": "x"}, "prepare has changed"),
    ({**KEY, "file data.path": "x"}, "data.path has changed"),
    ({"seed": 1, "after prepare": "abc"}, "data.path has changed"),
]


@pytest.mark.parametrize(("key", "why"), CHANGES)
def test_what_it_depended_on_has_changed(workdir, key, why):
    finish(workdir)
    assert workdir.reason_to_run("teach", key) == why


def read(path):
    with open(path) as file:
        return file.read()


def truncate(path):
    with open(path, "w"):
        pass


def corrupt(path):
    with open(path, "r+b") as file:
        file.write(b"X")


@pytest.mark.parametrize(
    ("harm", "name", "why"),
    [
        (corrupt, "models/a.txt", "models/a.txt is corrupted"),
        (truncate, "models/a.txt", "is corrupted"),
        (os.remove, "models/a.txt", "models/a.txt is missing"),
        (corrupt, "records/teach.json", "not done yet"),
        (truncate, "records/teach.json", "not done yet"),
        (os.remove, "records/teach.json", "not done yet"),
    ],
)
def test_harm_is_noticed(workdir, harm, name, why):
    finish(workdir)
    harm(workdir.file(name))
    assert workdir.reason_to_run("teach", KEY).endswith(why)


@pytest.mark.parametrize("text", ["[]", "5", "null", '{"key": {}}', "\\xff"])
def test_a_record_of_another_form_is_not_done(workdir, text):
    finish(workdir)
    with open(workdir.file("records/teach.json"), "w") as file:
        file.write(text)
    assert workdir.record("teach") is None
    assert workdir.reason_to_run("teach", KEY) == "not done yet"


def test_what_an_earlier_config_left_is_cleared_away(workdir):
    finish(workdir, names=("student.tflite", "both"))
    finish(workdir, names=("student.refused.tflite", "both"))
    assert not os.path.exists(workdir.file("student.tflite"))
    assert os.path.exists(workdir.file("both"))


def test_unfinished_work_is_kept_for_the_same_key_alone(workdir):
    first = workdir.partial("teach", KEY)
    truncate(f"{first}/state")
    assert workdir.partial("teach", KEY) == first
    assert os.path.exists(f"{first}/state")
    second = workdir.partial("teach", {**KEY, "seed": 2})
    assert second != first
    assert not os.path.exists(f"{first}/state")


def test_outcome_ignores_when_and_how_long(workdir):
    first = finish(workdir)
    second = {**first, "seconds": 9, "finished": "later"}
    assert outcome(first) == outcome(second)
    assert outcome(first) != outcome({**first, "result": {"found": 2}})


def test_record_lists_hashes_of_what_was_written(workdir):
    finish(workdir)
    with open(workdir.file("records/teach.json")) as file:
        record = json.load(file)
    # sha256 of "content", by sha256sum.
    assert record["artefacts"]["models/a.txt"].startswith("ed7002b439e9ac84")
    assert record["key"] == KEY


def test_second_run_in_a_folder_is_refused(workdir):
    with (
        workdir.locked(),
        pytest.raises(FolderInUseError, match="is in use by another run"),
        Workdir(workdir.path).locked(),
    ):
        pass
    with workdir.locked():
        pass


def test_digest_does_not_depend_on_order():
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
