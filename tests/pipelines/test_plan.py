import pytest

from pipelines.config.loading import load_config
from pipelines.plan import (
    STAGES,
    key_of,
    last_model,
    models_made,
    plan,
    reason_disabled,
    released,
)
from pipelines.workdir import Workdir, outcome


def config_with(tiny_config, *overrides):
    return load_config(tiny_config, overrides)


def actions(config, workdir):
    return {stage: action for stage, action, _ in plan(config, workdir)}


def finish_all(config, workdir):
    outcomes = {}
    for stage in STAGES:
        key = key_of(stage, config, outcomes)
        workdir.partial(stage.name, key)
        workdir.finish(stage.name, key, {}, {"key": key}, 1.0)
        outcomes[stage.name] = outcome(workdir.record(stage.name))


# What is changed, and the first stage that must run again; all after it do.
CHANGES = [
    ("seed=4", "prepare"),
    ("data.validation_fraction=0.2", "prepare"),
    ("teacher.epochs=3", "teach"),
    ("student.epochs=4", "control"),
    ("distill.temperature=2", "distill"),
    ("prune.sparsity=0.6", "prune"),
    ("quantize.calibration_examples=33", "quantize"),
    ("budget.max_size_kb=3", "verify"),
    ("benchmark.warmup=2", "verify"),
    ("name=other", "report"),
]


@pytest.mark.parametrize(("override", "first"), CHANGES)
def test_a_change_runs_its_stage_and_what_follows(
    tiny_config, tmp_path, override, first
):
    workdir = Workdir(tmp_path)
    finish_all(config_with(tiny_config), workdir)
    assert set(actions(config_with(tiny_config), workdir).values()) == {"skip"}
    found = actions(config_with(tiny_config, override), workdir)
    names = [stage.name for stage in STAGES]
    before = names[: names.index(first)]
    assert [found[name] for name in before] == ["skip"] * len(before)
    assert found[first] == "run"
    # Labels alone need no teacher, and timing depends on the files alone.
    beside = {
        "teacher.epochs=3": {"control"},
        "budget.max_size_kb=3": {"benchmark"},
    }.get(override, set())
    after = set(names[names.index(first) :]) - beside
    assert {name for name in found if found[name] == "run"} == after


@pytest.mark.parametrize(
    ("overrides", "off", "made", "last"),
    [
        ([], [], ["teacher", "control", "student", "pruned"], "pruned"),
        (
            ["prune.enabled=false"],
            ["prune"],
            ["teacher", "control", "student"],
            "student",
        ),
        (
            ["distill.enabled=false"],
            ["distill"],
            ["teacher", "control", "pruned"],
            "pruned",
        ),
        (
            ["teacher.enabled=false", "distill.enabled=false"],
            ["teach", "distill"],
            ["control", "pruned"],
            "pruned",
        ),
        (
            ["student.path=setup.cfg", "distill.enabled=false"],
            ["control"],
            ["teacher", "student", "pruned"],
            "pruned",
        ),
        (
            ["quantize.enabled=false", "benchmark.enabled=false"],
            ["quantize", "benchmark"],
            ["teacher", "control", "student", "pruned"],
            "pruned",
        ),
    ],
)
def test_what_is_off_and_what_is_made(tiny_config, overrides, off, made, last):
    config = config_with(tiny_config, *overrides)
    names = [stage.name for stage in STAGES]
    assert [name for name in names if reason_disabled(name, config)] == off
    assert models_made(config) == made
    assert last_model(config) == last


def test_delivered_file(tiny_config):
    recipes = {
        "quantize.enabled=false": "float",
        "quantize.release=weight_only_int8": "weight_only_int8",
        "quantize.release=int8": "int8",
    }
    for override, name in recipes.items():
        assert released(config_with(tiny_config, override)) == name


def test_a_file_from_outside_counts_by_its_content(tiny_config, tmp_path):
    teach = next(stage for stage in STAGES if stage.name == "teach")
    keys = []
    for name, content in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).write_text(content)
        config = config_with(tiny_config, f"teacher.path={tmp_path / name}")
        keys.append(key_of(teach, config, {}))
    assert keys[0] == keys[1] != keys[2]


def test_plan_says_why_and_writes_nothing(tiny_config, tmp_path):
    config = config_with(tiny_config, "control.enabled=false")
    rows = plan(config, Workdir(tmp_path / "run"))
    assert rows[:4] == [
        ("prepare", "run", "not done yet"),
        ("teach", "run", "prepare runs first"),
        ("control", "off", "control.enabled is false"),
        ("distill", "run", "prepare runs first"),
    ]
    assert not (tmp_path / "run").exists()
