import pytest

from pipelines.config.loading import load_config
from pipelines.plan import STAGES, key_of, plan, reason_disabled
from pipelines.state import Run
from pipelines.workdir import Workdir, outcome

NAMES = [stage.name for stage in STAGES]


@pytest.fixture
def run_with(tiny_config, tmp_path):
    """Function making a run of the tiny config with overrides."""

    def make(*overrides):
        return Run(load_config(tiny_config, overrides), Workdir(tmp_path))

    return make


def actions(run):
    return {stage: action for stage, action, _ in plan(run)}


def finish_all(run):
    outcomes = {}
    for stage in STAGES:
        key = key_of(stage, run.config, outcomes)
        run.workdir.partial(stage.name, key)
        record = run.workdir.finish(stage.name, key, {}, {"key": key}, 1.0)
        outcomes[stage.name] = outcome(record)


def stage_named(name):
    return STAGES[NAMES.index(name)]


# An override, the first stage that must run again, and those after it that
# need not: labels alone need no teacher, costs depend on the files alone.
CHANGES = [
    ("seed=4", "prepare", set()),
    ("seeds.split=4", "prepare", set()),
    ("seeds.weights=4", "teach", set()),
    ("seeds.order=4", "teach", set()),
    ("seeds.augmentation=4", "teach", set()),
    ("data.validation_fraction=0.2", "prepare", set()),
    ("teacher.epochs=3", "teach", {"control"}),
    ("student.epochs=4", "control", set()),
    ("distill.temperature=2", "distill", set()),
    ("prune.sparsity=0.6", "prune", set()),
    ("export.time_limit_s=299", "export", set()),
    ("quantize.calibration_examples=33", "quantize", set()),
    ("benchmark.warmup=2", "benchmark", set()),
    ("budget.max_size_kb=3", "verify", set()),
    ("name=other", "report", set()),
]


@pytest.mark.parametrize(("override", "first", "unchanged"), CHANGES)
def test_a_change_runs_its_stage_and_what_follows(
    run_with, override, first, unchanged
):
    finish_all(run_with())
    assert set(actions(run_with()).values()) == {"skip"}
    after = set(NAMES[NAMES.index(first) :]) - unchanged
    expected = {n: "run" if n in after else "skip" for n in NAMES}
    assert actions(run_with(override)) == expected


def test_a_seed_of_its_own_that_equals_the_seed_changes_nothing(run_with):
    finish_all(run_with())
    seeds = "seeds={split: 3, weights: 3, order: 3, augmentation: 3}"
    assert set(actions(run_with(seeds)).values()) == {"skip"}


@pytest.mark.parametrize(
    ("overrides", "off"),
    [
        ([], []),
        (["prune.enabled=false"], ["prune"]),
        (["distill.enabled=false"], ["distill"]),
        (
            ["teacher.enabled=false", "distill.enabled=false"],
            ["teach", "distill"],
        ),
        (["student.path=setup.cfg", "distill.enabled=false"], ["control"]),
        (
            ["quantize.enabled=false", "benchmark.enabled=false"],
            ["quantize", "benchmark"],
        ),
    ],
)
def test_disabled_stages(run_with, overrides, off):
    config = run_with(*overrides).config
    assert [n for n in NAMES if reason_disabled(n, config)] == off


def test_a_file_from_outside_counts_by_its_content(run_with, tmp_path):
    keys = []
    for name, content in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).write_text(content)
        config = run_with(f"teacher.path={tmp_path / name}").config
        keys.append(key_of(stage_named("teach"), config, {}))
    assert keys[0] == keys[1] != keys[2]


def test_a_replaced_file_of_weights_trains_its_model_again(run_with, tmp_path):
    weights = tmp_path / "weights.h5"
    overrides = (
        "teacher.model=keras_application",
        f"teacher.args={{weights: {weights}}}",
    )
    keys = {"teach": [], "control": []}
    for content in ("1", "1", "2"):
        weights.write_text(content)
        config = run_with(*overrides).config
        for stage, found in keys.items():
            found.append(key_of(stage_named(stage), config, {}))
    assert keys["teach"][0] == keys["teach"][1] != keys["teach"][2]
    assert keys["control"][0] == keys["control"][2]


OWN_LOSS = """\
from {package}.numbers import FACTOR


def squared(student, teacher):
    return FACTOR * ((student - teacher) ** 2).mean(axis=-1)
"""


def test_edited_code_of_ones_own_runs_its_stages_again(
    run_with, tmp_path, monkeypatch
):
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "losses.py").write_text(OWN_LOSS.format(package="mine"))
    monkeypatch.syspath_prepend(str(tmp_path))
    override = "distill.losses=[{name: 'mine.losses:squared'}]"
    keys = []
    # What the function's module imports counts, too.
    for factor in (1, 1, 2):
        (package / "numbers.py").write_text(f"FACTOR = {factor}\n")
        source_is_read_again()
        config = run_with(override).config
        keys.append(key_of(stage_named("distill"), config, {}))
    assert keys[0] == keys[1] != keys[2]
    changed = {name for name in keys[0] if keys[0][name] != keys[2][name]}
    assert changed == {"code mine.losses:squared"}


def source_is_read_again():
    from pipelines import provenance

    provenance._content.cache_clear()
    provenance._imported_by.cache_clear()


WAYS = {
    "by name": "from kd_tf import soft_target_loss\ndef loss(s, t): ...",
    "as attribute": "import kd_tf\nloss = kd_tf.soft_target_loss",
}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS)
def test_our_code_behind_a_public_name_counts(tmp_path, monkeypatch, text):
    from kd_tf.entry_points import find_source
    from pipelines import provenance

    (tmp_path / "through_us.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    source_is_read_again()
    path = find_source("kd_tf.losses.response")
    assert path in files_behind("through_us:loss")
    assert find_source("kd_tf.models.unet") not in files_behind("through_us:f")
    assert provenance.source_hash("no_such_module:f") is None


def files_behind(function):
    from pipelines import provenance

    module = function.partition(":")[0]
    reached = provenance._reached(module)
    return {path for name in reached for path in provenance._files_of(name)}


def test_packages_count_and_installed_libraries_do_not(tmp_path, monkeypatch):
    package = tmp_path / "outer" / "inner"
    package.mkdir(parents=True)
    library = tmp_path / "site-packages" / "library"
    library.mkdir(parents=True)
    (tmp_path / "outer" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (library / "__init__.py").touch()
    (package / "a.py").write_text("import library\nimport numpy\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    assert files_behind("outer.inner.a:f") == {
        str(package / "a.py"),
        str(package / "__init__.py"),
        str(tmp_path / "outer" / "__init__.py"),
    }


def test_templates_of_the_pages_count():
    files = files_behind("pipelines.stages.report")
    assert any(path.endswith("report.html") for path in files)
    assert any(path.endswith("report.md") for path in files)


# Our own code: a module, and the stages whose keys its content is part of.
CODE = {
    "kd_tf.losses.response": ["distill", "prune"],
    "kd_tf.losses.feature": [],
    "kd_tf.models.cnn": ["teach", "control", "distill"],
    "kd_tf.models.unet": [],
    "kd_tf.data.sources.scikit_learn": ["prepare"],
    "kd_tf.data.sources.csv": [],
    "kd_tf.compression.magnitude": ["prune"],
    "kd_tf.distillation.distiller": ["distill", "prune"],
    "kd_tf.reporting.headline": ["report"],
    "kd_tf.tasks.classification": [
        *("prepare", "teach", "control", "distill", "prune", "export"),
        *("quantize", "verify", "report"),
    ],
    "kd_tf.export.post_training": ["quantize"],
    "kd_tf.edge.benchmarking": ["benchmark"],
}


@pytest.mark.parametrize(("module", "stages"), CODE.items(), ids=CODE)
def test_an_edit_of_our_code_runs_the_stages_that_use_it(
    run_with, monkeypatch, module, stages
):
    from kd_tf.entry_points import find_source
    from pipelines import provenance

    config, path = run_with().config, find_source(module)
    before = {s.name: key_of(s, config, {}) for s in STAGES}
    read = provenance._content

    def edited(name):
        return read(name) + b"\n# edited" * (name == path)

    monkeypatch.setattr(provenance, "_content", edited)
    after = {s.name: key_of(s, config, {}) for s in STAGES}
    assert [name for name in NAMES if before[name] != after[name]] == stages


def test_a_replaced_file_in_own_arguments_counts(run_with, tmp_path):
    (tmp_path / "table.txt").write_text("1")
    overrides = (
        "data={source: 'tests.data.sources.test_sources:made_up', "
        f"args: {{path: {tmp_path / 'table.txt'}, size: 3}}}}"
    )
    keys = []
    for content in ("1", "2"):
        (tmp_path / "table.txt").write_text(content)
        config = run_with(overrides).config
        keys.append(key_of(stage_named("prepare"), config, {}))
    changed = {name for name in keys[0] if keys[0][name] != keys[1][name]}
    assert changed == {"file data.args.path"}


def test_the_page_is_written_again_whatever_changes_of_the_config(run_with):
    finish_all(run_with())
    found = actions(run_with("tensorboard=true"))
    assert [name for name in NAMES if found[name] == "run"] == ["report"]


def test_plan_says_why_and_writes_nothing(tiny_config, tmp_path):
    config = load_config(tiny_config, ["control.enabled=false"])
    rows = plan(Run(config, Workdir(tmp_path / "run")))
    assert rows[:4] == [
        ("prepare", "run", "not done yet"),
        ("teach", "run", "prepare runs first"),
        ("control", "off", "control.enabled is false"),
        ("distill", "run", "prepare runs first"),
    ]
    assert not (tmp_path / "run").exists()
