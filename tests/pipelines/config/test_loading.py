import inspect
import re

import pytest
from ruamel.yaml import YAML

from kd_tf.data.sources import SOURCES
from kd_tf.distillation.loss_table import LOSSES
from kd_tf.models import MODELS
from pipelines.config.data import Data, choose_source
from pipelines.config.loading import ConfigError, dump_config, load_config
from pipelines.config.losses import choose_loss
from tests.conftest import ROOT

GOOD = """\
name: trial
data:
  source: digits
teacher:
  model: cnn
  args: {filters: [8, 16]}
student:
  model: mlp
distill:
  temperature: 3
prune:
  epochs: 4
"""

# change: (old text, new text), or an override; then the message, exactly.
WRONG = [
    (
        ("temperature: 3", "temprature: 3"),
        "FILE:10: distill has no key 'temprature'. Did you mean 'temperature'?",
    ),
    (
        ("prune:", "purne:"),
        "FILE:11: the config has no key 'purne'. Did you mean 'prune'?",
    ),
    (
        ("temperature: 3", "zzz: 3"),
        "FILE:10: distill has no key 'zzz'. Allowed: enabled, temperature, "
        "student_weight, losses. Received: 'zzz'",
    ),
    (
        ("filters: [8, 16]", "filter: [8]"),
        "FILE:6: teacher.args has no key 'filter'. Did you mean 'filters'?",
    ),
    (
        ("[8, 16]", "[8, x]"),
        "FILE:6: teacher.args.filters.1 must be a whole number. Received: 'x'",
    ),
    (
        ("temperature: 3", "temperature: warm"),
        "FILE:10: distill.temperature must be a number. Received: 'warm'",
    ),
    (
        ("temperature: 3", "temperature: 0"),
        "FILE:10: distill.temperature must be greater than 0.0. Received: 0",
    ),
    (
        ("temperature: 3", "temperature: .nan"),
        "FILE:10: distill.temperature must be a finite number. Received: nan",
    ),
    (
        ("temperature: 3", "student_weight: 1.5"),
        "FILE:10: distill.student_weight must be at most 1.0. Received: 1.5",
    ),
    (
        ("epochs: 4", "epochs: 2.5"),
        "FILE:12: prune.epochs must be a whole number. Received: 2.5",
    ),
    (
        ("epochs: 4", "enabled: 'no'"),
        "FILE:12: prune.enabled must be true or false. Received: 'no'",
    ),
    (
        ("epochs: 4", "sparsity: 1"),
        "FILE:12: prune.sparsity must be less than 1.0. Received: 1",
    ),
    (
        ("epochs: 4", "epochs: 2\n  ramp_epochs: 2"),
        "FILE:11: prune: 'ramp_epochs' must be less than 'epochs', to leave "
        "time to recover. Received: ramp_epochs=2, epochs=2",
    ),
    (
        ("model: mlp", "model: bert"),
        "FILE:8: student.model: There is no model 'bert'. Allowed: "
        + ", ".join(MODELS)
        + ", or 'package.module:function'. Received: 'bert'",
    ),
    (
        ("source: digits", "source: cifar"),
        "FILE:3: data.source: There is no data source 'cifar'. Allowed: "
        + ", ".join(SOURCES)
        + ", or 'package.module:function'. Received: 'cifar'",
    ),
    (
        ("source: digits", "source: npz"),
        "FILE:2: data.path is missing. Give it a value. Received: none",
    ),
    (
        ("source: digits", "source: npz\n  path: no/such.npz"),
        "FILE:4: data.path is missing: no file or folder is there. "
        "Received: CWD/no/such.npz",
    ),
    (
        ("source: digits", "source: digits\n  manual_dir: x"),
        "FILE:4: data: the key 'manual_dir' is for source 'tfds' alone. "
        "Received: source 'digits'",
    ),
    (
        ("source: digits", "source: digits\n  std: [1, 0]"),
        "FILE:4: data.std must be greater than 0. Received: [1, 0]",
    ),
    (
        ("name: trial\n", ""),
        "FILE:1: name is missing. Give it a value. Received: none",
    ),
    (
        ("name: trial", "name: a/b"),
        "FILE:1: name must match ^[A-Za-z0-9][A-Za-z0-9._-]*$. Received: 'a/b'",
    ),
    (
        ("  temperature: 3", "  - 3"),
        "FILE:9: distill must be a section of keys. Received: [3]",
    ),
    (
        ("name: trial", "name: trial\nname: again"),
        "FILE:2: this is not YAML that can be understood. Write YAML 1.2, "
        'every key once. Received: found duplicate key "name" with value '
        '"again" (original value: "trial")',
    ),
    (
        ("[8, 16]", "[8, 16"),
        "FILE:6: this is not YAML that can be understood. Write YAML 1.2, "
        "every key once. Received: expected ',' or ']', but got '}'",
    ),
    (
        ("  model: cnn\n  args: {filters: [8, 16]}", "  epochs: 3"),
        "FILE:4: there is no teacher. Set teacher.model or teacher.path, or"
        " teacher.enabled: false. Received: none of them",
    ),
    (
        ("student:\n  model: mlp\n", ""),
        "FILE:1: there is no student. Set student.model or student.path. "
        "Received: neither",
    ),
    (
        ("model: cnn", "model: cnn\n  enabled: false"),
        "FILE:10: there is no teacher to distill. Set teacher.enabled: "
        "true, distill.enabled: false, or student.path. Received: "
        "distill.enabled: true, teacher.enabled: false",
    ),
    (
        ("temperature: 3", "enabled: false\ncontrol: {enabled: false}"),
        "FILE:7: no stage makes a student. Set distill.enabled: true, "
        "control.enabled: true, or student.path. Received: none of them",
    ),
    (
        (
            "prune:",
            "verify: {enabled: false}\nbudget: {max_size_kb: 2}\nprune:",
        ),
        "FILE:12: nothing checks the budget. Set verify.enabled: true, or "
        "no limits. Received: verify.enabled: false, max_size_kb",
    ),
    (
        ("prune:", "labels: {dice_weight: 1}\nprune:"),
        "FILE:11: labels has no key 'dice_weight'. Allowed: smoothing. "
        "Received: 'dice_weight'",
    ),
    (
        ("distill:", "task: regression\nlabels: {smoothing: 0.1}\ndistill:"),
        "FILE:10: labels has no keys here. Received: 'smoothing'",
    ),
    (
        ("temperature: 3", "losses: [{name: teacher_bounded}]"),
        "FILE:9: a loss does not fit the task, whose outputs are logits. "
        "Take losses of such outputs, or of layers. Received: task: "
        "classification, teacher_bounded",
    ),
    (
        ("source: digits", "source: digits\n  mean: auto"),
        "FILE:2: data: source 'digits' has no columns to measure mean and "
        "std of; auto is for diabetes and csv. Received: mean=auto, "
        "std=255.0",
    ),
    (
        "distill.temprature=4",
        "--set distill.temprature=4: distill has no key 'temprature'. Did "
        "you mean 'temperature'?",
    ),
    (
        "prune.epochs=1",
        "--set prune.epochs=1: prune.epochs must be at least 2. Received: 1",
    ),
    (
        "teacher.path=gone.keras",
        "--set teacher.path=gone.keras: teacher.path is missing: no file or"
        " folder is there. Received: CWD/gone.keras",
    ),
    (
        "name.first=x",
        "--set name.first=x: 'name' holds a value, not a section. Set keys "
        "of sections. Received: name.first",
    ),
    (
        ("temperature: 3", "losses: [{name: hnit, pairs: auto}]"),
        "FILE:10: distill.losses.0.name: There is no loss 'hnit'. Did you "
        "mean 'hint'? Allowed: "
        + ", ".join(LOSSES)
        + ", or 'package.module:function'. Received: 'hnit'",
    ),
    (
        ("temperature: 3", "losses:\n  - name: dist\n    temprature: 2"),
        "FILE:12: distill.losses.0 has no key 'temprature'. Did you mean "
        "'temperature'?",
    ),
    (
        ("temperature: 3", "losses:\n  - name: hint\n    weight: 2"),
        "FILE:11: distill.losses.0: loss 'hint' compares layers. Add pairs:"
        " auto, or pairs: [[student layer, teacher layer], ...]. Received: "
        "no pairs",
    ),
    (
        ("temperature: 3", "losses: [{name: hint, pairs: auto, beta: 2}]"),
        "FILE:10: distill.losses.0 has no key 'beta'. Allowed: name, "
        "weight, pairs. Received: 'beta'",
    ),
    (
        ("temperature: 3", "losses: [{name: hint, pairs: [[a]]}]"),
        "FILE:10: distill.losses.0.pairs must be auto, or a list of [student "
        "layer, teacher layer]. Received: [['a']]",
    ),
    (
        ("temperature: 3", "losses: [{name: dist, weight: -1}]"),
        "FILE:10: distill.losses.0.weight must be at least 0.0. Received: -1",
    ),
    (
        (
            "temperature: 3",
            "losses: [{name: 'a:b', args: {shift: -1, weight: 2}}]",
        ),
        "FILE:10: distill.losses.0: args has the key 'weight', which has a "
        "place of its own: write weight beside args. Received: "
        "args={'shift': -1, 'weight': 2}",
    ),
    (
        ("temperature: 3", "losses: []"),
        "FILE:10: distill.losses must have at least 1 entries. Received: []",
    ),
    (
        ("temperature: 3", "temperature: {start: 3, end: 0, epochs: 2}"),
        "FILE:10: distill.temperature.end must be greater than 0.0. "
        "Received: 0",
    ),
    (
        ("temperature: 3", "student_weight: {start: 0, end: 2, epochs: 2}"),
        "FILE:10: distill.student_weight.end must be at most 1.0. Received: 2",
    ),
    (
        ("temperature: 3", "temperature: {start: 3, end: 1, epoch: 2}"),
        "FILE:10: distill.temperature has no key 'epoch'. Did you mean "
        "'epochs'?",
    ),
    (
        "distill.losses.1.weight=2",
        "--set distill.losses.1.weight=2: distill.losses must be a list. "
        "Received: {'1': {'weight': 2}}",
    ),
    (
        "no value",
        "An override cannot be read. Write --set section.key=value. "
        "Received: --set no value",
    ),
    (
        "name=[",
        "The value of an override cannot be read. Write YAML. Received: "
        "--set name=[",
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_configs_get_exactly_this(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    path, text, overrides = tmp_path / "trial.yaml", GOOD, [change]
    if isinstance(change, tuple):
        assert change[0] in GOOD
        text, overrides = GOOD.replace(*change), []
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    expected = message.replace("FILE", str(path)).replace("CWD", str(tmp_path))
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read. Give a YAML file. Received: No such file"),
        (b"\xff\xfe\x00", "Received: not UTF-8 text"),
        (b"", "the config has no keys. .* Received: NoneType"),
        (b"- a", "the config has no keys. .* Received: CommentedSeq"),
    ],
)
def test_files_that_hold_no_config(tmp_path, content, reason):
    path = tmp_path / "trial.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason):
        load_config(path)


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


def test_overrides_win(good):
    config = load_config(
        good,
        ["distill.temperature=1e-3", "seed=7", "teacher.args={filters: [4]}"],
    )
    assert config.distill.temperature == 0.001
    assert config.seed == 7
    assert config.teacher.arguments["filters"] == [4]


def test_overrides_reach_into_lists(good, tmp_path):
    path = tmp_path / "losses.yaml"
    path.write_text(
        GOOD.replace("temperature: 3", "losses: [{name: dist, beta: 1}]")
    )
    config = load_config(path, ["distill.losses.0.beta=5"])
    assert config.distill.losses[0].beta == 5
    with pytest.raises(ConfigError, match=r"'losses' has no entry 3\. Allowed"):
        load_config(path, ["distill.losses.3.beta=5"])


@pytest.mark.parametrize("name", LOSSES)
def test_keys_of_a_loss_are_those_of_its_spec(name):
    spec = LOSSES[name]
    pairs = [{"name": name, "pairs": "auto"}] if spec.takes_pairs else []
    section = choose_loss(*pairs or [{"name": name}])
    keys = section.model_fields.keys() - {"name", "weight"}
    assert keys == {
        *spec.arguments,
        *(["pairs"] if spec.takes_pairs else []),
        *(["transform"] if spec.takes_transform else []),
    }


def test_old_keys_are_answered_with_the_new_names(good):
    for old, new in (
        ("data.validation_share=0.1", "'validation_fraction'"),
        ("data.test_share=0.1", "'test_fraction'"),
        ("quantize.deliver=int8", "'release'"),
    ):
        with pytest.raises(ConfigError, match=f"It is now called {new}"):
            load_config(good, [old])


def test_defaults_fill_the_arguments_of_models(good):
    config = load_config(good)
    assert config.student.arguments == {"hidden": (128,), "dropout": 0.0}
    assert config.teacher.arguments["dropout"] == 0.0


def test_what_is_dumped_loads_again(good, tmp_path):
    losses = (
        "[{name: dist, temperature: {start: 8, end: 1, epochs: 2}},"
        " {name: hint, pairs: [[a, b/c]], weight: 0.5}]"
    )
    config = load_config(
        good,
        [
            "data.mean=[1, 2.5]",
            "budget.max_size_kb=5",
            f"distill.losses={losses}",
        ],
    )
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_config(config))
    assert dump_config(load_config(resolved)) == resolved.read_text()


def test_paths_do_not_depend_on_where_the_config_is_loaded(
    good, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "teacher.keras").touch()
    config = load_config(good, ["teacher.path=teacher.keras"])
    assert config.teacher.path == str(tmp_path / "teacher.keras")


@pytest.mark.parametrize(
    "name", ["quickstart", "mnist", "mnist_feature", "mnist_relation"]
)
def test_configs_that_ship_load(name):
    config = load_config(ROOT / "configs" / f"{name}.yaml")
    assert config.name == name


@pytest.mark.parametrize("name", SOURCES)
def test_keys_of_a_source_are_the_arguments_of_its_function(name):
    function = inspect.signature(SOURCES[name].load()).parameters
    section = choose_source({"source": name})
    keys = section.model_fields.keys() - Data.model_fields.keys()
    assert keys == function.keys() - {"task"}
    assert {k for k in keys if section.model_fields[k].is_required()} == {
        key
        for key, argument in function.items()
        if argument.default is argument.empty and key != "task"
    }


def test_keys_of_another_source_are_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(GOOD.replace("source: digits", "source: digits\n  path: x"))
    with pytest.raises(ConfigError, match="'path' is for source 'npz' or 'im"):
        load_config(path)


@pytest.mark.parametrize(
    ("task", "losses", "temperature"),
    [
        ("classification", "soft_targets", 4),
        ("segmentation", "soft_targets", 1),
        ("multilabel", "sigmoid_targets", 1),
        ("regression", "value_matching", 1),
    ],
)
def test_every_task_has_a_distillation_of_its_own(
    tmp_path, task, losses, temperature
):
    path = tmp_path / "config.yaml"
    path.write_text(GOOD.replace("distill:\n  temperature: 3\n", ""))
    config = load_config(path, [f"task={task}"])
    assert [loss.name for loss in config.distill.losses] == [losses]
    assert config.distill.temperature == temperature
    chosen = load_config(path, [f"task={task}", "distill.temperature=3"])
    assert chosen.distill.temperature == 3


NAMED_FIRST = {
    "task: clasification\nlabels: {smoothing: 0.1}\n": "no task 'clasif",
    "prune: {method: magnitud, ramp_epochs: 1}\n": "pass 'magnitud'. Did you",
    "data: {source: null, path: x}\n": "data.source must be text",
    "data: {path: x, sorce: npz}\n": "no key 'sorce'. Did you mean 'source'",
    "distill: {losses: [{name: 5, temperature: 2}]}\n": "name must be text",
}


@pytest.mark.parametrize("text", NAMED_FIRST)
def test_a_wrong_name_is_reported_before_the_keys_that_depend_on_it(
    tmp_path, text
):
    key = text.partition(":")[0]
    tree = YAML(typ="safe").load(GOOD)
    tree.pop(key, None)
    path = tmp_path / "trial.yaml"
    with open(path, "w") as file:
        YAML().dump(tree, file)
        file.write(text)
    with pytest.raises(ConfigError, match=re.escape(NAMED_FIRST[text])):
        load_config(path)


UNREADABLE = {
    "number": "seed: !!int abc",
    "boolean": "seed: !!bool maybe",
    "date": "seed: 2020-13-45",
    "digits": "seed: " + "9" * 5000,
    "nested": "seed: " + "[" * 300 + "]" * 300,
    "recursive": "data: &a {data: *a}",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_yaml_that_cannot_be_read_gets_one_line(tmp_path, text):
    path = tmp_path / "trial.yaml"
    path.write_text(f"{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}:1: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        [
            "data={source: image_folder, path: ., image_size: [8, 8]}",
            "data.channels=null",
        ],
        ["data={source: 'mine:source', path: null, args: {a: 1}}"],
        ["labels={dice_weight: 0}"],
        ["task=regression", "labels={smoothing: 0}"],
    ],
    ids=["default", "own", "dice", "smoothing"],
)
def test_what_asks_for_nothing_is_taken(good, overrides):
    config = load_config(good, overrides)
    assert dump_config(config)


def test_a_folder_named_as_published_weights_changes_nothing(
    good, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").mkdir()
    model = "teacher={model: keras_application}"
    assert load_config(good, [model]).teacher.arguments["weights"] == "imagenet"


OWN_PASS = """
import math
from collections.abc import Iterator

def computed(model, recover, *, factor: float = 1 / 3, limit=math.pi): ...
def optional(model, recover, *, path: str = None, count: int = None): ...
def unusual(model, recover, *, steps: Iterator[int] = (), name: range = 3): ...
def taken(model, recover, *, spec: int = 1): ...
"""


@pytest.fixture
def own_pass(tmp_path, monkeypatch):
    (tmp_path / "own_passes.py").write_text(OWN_PASS)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("computed", {}),
        ("optional", {"path": None, "count": None}),
        ("unusual", {"steps": (), "name": 3}),
    ],
)
def test_defaults_of_own_passes_stay_theirs(
    own_pass, good, tmp_path, name, expected
):
    config = load_config(good, [f"prune={{method: 'own_passes:{name}'}}"])
    assert config.prune.arguments == expected
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump_config(config))
    again = load_config(resolved)
    assert again.prune.arguments.keys() == expected.keys()
    assert dump_config(again) == resolved.read_text()


def test_an_argument_that_no_key_can_have_is_refused(own_pass, good):
    with pytest.raises(ConfigError, match="argument 'spec' of 'Prune' cannot"):
        load_config(good, ["prune={method: 'own_passes:taken'}"])
