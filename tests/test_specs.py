"""Tables and signatures that are read without being imported."""

import importlib.abc
import importlib.util
import subprocess
import sys
import typing

import pytest

from kd_tf.compression import PASSES
from kd_tf.data.sources import SOURCES
from kd_tf.distillation.loss_table import LOSSES
from kd_tf.entry_points import find_source, load_entry_point, parse_function
from kd_tf.export.recipes import RECIPES
from kd_tf.models import MODELS
from kd_tf.ranges import Count, Fraction
from kd_tf.specs import REQUIRED, Spec, Table, read_arguments
from kd_tf.tasks import TASKS
from tests.conftest import ROOT

TABLES = {
    "loss": LOSSES,
    "model": MODELS,
    "source": SOURCES,
    "task": TASKS,
    "pass": PASSES,
    "recipe": RECIPES,
}
ROWS = [
    pytest.param(spec, id=f"{kind}-{name}")
    for kind, table in TABLES.items()
    for name, spec in table.items()
]
MODULE = '''
from typing import Literal

import a_library_that_is_not_there


def function(
    x, size: Count, *, share: Fraction = 0.5, kind: Literal["a", "b"] = "a",
    sizes: Sequence[Count] = (1, 2), other: a_library.Type = None,
):
    """Does something.

    Args:
        size: How large,
            in pixels.
        share: How much.
    """


class Thing:
    """A thing.

    Attributes:
        width: Its width.
    """

    width: Count
    name: str | None = None

    def method(self, *, depth: Count = 3): ...


class Built:
    """Built by hand.

    Args:
        height: Its height.
    """

    def __init__(self, height: Count = 1): ...
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Name of a module that could not be imported."""
    (tmp_path / "spec_trial.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    read_arguments.cache_clear()
    return "spec_trial"


def test_arguments_are_those_of_the_signature(module):
    arguments = read_arguments(f"{module}:function")
    assert list(arguments) == ["x", "size", "share", "kind", "sizes", "other"]
    assert arguments["x"].annotation is typing.Any
    assert arguments["size"].annotation == Count
    assert arguments["size"].default is REQUIRED
    assert arguments["size"].description == "How large, in pixels."
    assert arguments["share"].annotation == Fraction
    assert arguments["share"].default == 0.5
    assert arguments["kind"].annotation == typing.Literal["a", "b"]
    assert arguments["sizes"].default == (1, 2)
    assert arguments["other"].annotation is typing.Any


def test_arguments_of_a_dataclass_a_class_and_a_method(module):
    fields = read_arguments(f"{module}:Thing")
    assert fields["width"].default is REQUIRED
    assert fields["width"].description == "Its width."
    assert fields["name"].default is None
    assert read_arguments(f"{module}:Built").keys() == {"height"}
    assert read_arguments(f"{module}:Built")["height"].description
    assert read_arguments(f"{module}:Thing.method").keys() == {"depth"}


def test_an_annotation_that_would_run_code_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "hostile.py").write_text(
        f"def f(x: open({str(tmp_path / 'made')!r}, 'w') = 1): ...\n"
        f"def g(x: __import__('os').mkdir({str(tmp_path / 'made')!r}) = 1): ..."
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for function in "fg":
        arguments = read_arguments(f"hostile:{function}")
        assert arguments["x"].annotation is typing.Any
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "name", ["no.such:function", "spec_trial:nothing", "json:nothing", "os"]
)
def test_what_cannot_be_read_has_no_arguments(module, name):
    assert parse_function(name) is None
    assert read_arguments(name) == {}


def test_sources_are_found_without_importing(module):
    assert find_source(module).endswith("spec_trial.py")
    assert find_source("kd_tf.losses").endswith("losses/__init__.py")
    assert find_source("kd_tf.losses.nothing") is None
    assert find_source("spec_trial.inner") is None
    assert module not in sys.modules


@pytest.mark.parametrize("spec", ROWS)
def test_every_row_names_a_function_that_can_be_imported(spec):
    assert callable(spec.load())


@pytest.mark.parametrize("spec", ROWS)
def test_every_argument_has_a_type_a_default_and_a_description(spec):
    for argument in spec.arguments.values():
        assert argument.annotation is not typing.Any, argument
        assert argument.description, argument


def test_reading_all_tables_starts_neither_tensorflow_nor_keras():
    code = (
        "import sys; import pipelines.config.reference as r; r.page();"
        "assert not {'tensorflow', 'keras', 'sklearn'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == 0


def test_a_name_that_is_in_no_table():
    with pytest.raises(ValueError, match=r"no loss 'hnit'\. Did you"):
        LOSSES.find("hnit")
    with pytest.raises(ValueError, match=r"Allowed: weight_only_int8, int8\. "):
        RECIPES.find("a:b")


def test_own_functions_where_a_table_takes_them():
    table = Table("thing", {"one": Spec("json:loads")}, own=Spec)
    assert table.find("json:dumps") == Spec("json:dumps")
    assert table.find("one").load()("3") == 3
    assert table.find("one").summary.startswith("Deserialize ``s``")


def test_an_entry_point_that_cannot_be_loaded():
    with pytest.raises(
        ValueError, match="model 'json:nothing' cannot be imported"
    ):
        load_entry_point("json:nothing", "model")


def test_sources_of_an_editable_install_are_found(tmp_path, monkeypatch):
    # Such an install is on no path: a finder of its own knows the folder.
    (tmp_path / "editable").mkdir()
    for name in ("__init__", "inner"):
        (tmp_path / "editable" / f"{name}.py").write_text(MODULE)

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name != "editable":
                return None
            folder = tmp_path / name
            return importlib.util.spec_from_file_location(
                name,
                folder / "__init__.py",
                submodule_search_locations=[str(folder)],
            )

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert read_arguments("editable.inner:function").keys() >= {"size"}
    assert read_arguments("editable:function").keys() >= {"size"}
