"""The table of data sources, and `open_source`."""

import subprocess
import sys

import numpy as np
import pydantic
import pytest

from kd_tf.data.sources import SOURCES, SourceSpec, open_source
from kd_tf.data.sources.source import ArraySpec, Examples, Source, numbered
from kd_tf.specs import REQUIRED, read_arguments

HERE = "tests.data.sources.test_sources"


def my_source(count=4):
    """Reads a made-up source."""
    x, y = np.zeros((count, 2, 2, 1), "uint8"), np.arange(count)
    return Source(
        class_names=[str(i) for i in range(count)],
        example=ArraySpec((2, 2, 1), "uint8"),
        train=Examples(count, lambda: numbered([(x, y)])),
        test=None,
    )


def source_of_any_task(task, *, name="x"):
    source = my_source()
    return Source([name], source.example, source.train, None, task=task)


def not_a_source():
    return [1, 2]


# {source: (arguments it needs, arguments it may have)}.
ARGUMENTS = {
    "digits": ((), ()),
    "diabetes": ((), ()),
    "npz": (("path",), ()),
    "tfds": (
        ("name",),
        (
            "manual_dir",
            "image_size",
            "target_key",
            "classes",
            "ignored",
            "seconds",
            "name_key",
        ),
    ),
    "image_folder": (("path", "image_size"), ("channels", "label_pattern")),
    "segmentation_folder": (
        ("path", "classes", "image_size"),
        (
            "ignored",
            "images",
            "masks",
            "tile_size",
            "channels",
            "present_fraction",
        ),
    ),
    "audio_folder": (("path", "sample_rate", "seconds"), ("label_pattern",)),
    "csv": (("path", "target"), ("features", "name_column")),
}


def test_the_table_holds_every_source_with_its_arguments():
    needed_and_optional = {
        name: (
            tuple(a.name for a in arguments if a.default is REQUIRED),
            tuple(a.name for a in arguments if a.default is not REQUIRED),
        )
        for name, spec in SOURCES.items()
        for arguments in [spec.arguments.values()]
    }
    assert needed_and_optional == ARGUMENTS
    assert [n for n, spec in SOURCES.items() if spec.is_tabular] == [
        "diabetes",
        "csv",
    ]


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_loads_and_describes_itself(name):
    spec = SOURCES[name]
    assert callable(spec.load())
    assert spec.summary.endswith(".")
    for argument in spec.arguments.values():
        assert argument.description
        # A default that its own type would refuse is a wrong type.
        if argument.default is not REQUIRED:
            adapter = pydantic.TypeAdapter(argument.annotation)
            adapter.validate_python(argument.default)


REFUSED = {
    "one class": ("segmentation_folder", "classes", {"a": 1}),
    "one class of TFDS": ("tfds", "classes", {"a": 1}),
    "one side": ("image_folder", "image_size", [3]),
    "two channels": ("image_folder", "channels", 2),
    "no pattern": ("audio_folder", "label_pattern", "("),
    "no length": ("audio_folder", "seconds", 0),
    "no rate": ("audio_folder", "sample_rate", 0),
    "whole": ("segmentation_folder", "present_fraction", 1),
    "no tile": ("segmentation_folder", "tile_size", 0),
    "number of a column": ("csv", "target", 3),
}


@pytest.mark.parametrize(
    ("source", "argument", "value"), REFUSED.values(), ids=REFUSED
)
def test_ranges_of_arguments(source, argument, value):
    annotation = SOURCES[source].arguments[argument].annotation
    with pytest.raises(pydantic.ValidationError):
        pydantic.TypeAdapter(annotation).validate_python(value)


def test_settings_of_splits_and_augmentation_are_derived_as_well():
    settings = read_arguments("kd_tf.data.splitting.assignment:SplitSettings")
    assert {n: a.default for n, a in settings.items()} == {
        "validation_fraction": 0.1,
        "test_fraction": 0.2,
        "group": None,
        "validation_pattern": None,
        "test_pattern": None,
    }
    augmentation = read_arguments("kd_tf.data.augmentation:Augmentation")
    assert {n: a.default for n, a in augmentation.items()} == {
        "num_classes": REQUIRED,
        "flip": None,
        "rotate": None,
        "crop": None,
        "colour": None,
        "mixup": None,
        "shift": None,
        "noise": None,
        "spec_augment": None,
    }
    assert all(a.description for a in [*settings.values()])
    assert all(a.description for a in [*augmentation.values()])
    rotate = pydantic.TypeAdapter(augmentation["rotate"].annotation)
    assert [rotate.validate_python(v) for v in ("quarter", 180, None)]
    for value in ("half", 0, 181):
        with pytest.raises(pydantic.ValidationError):
            rotate.validate_python(value)


def test_a_row_that_is_added_can_be_opened(monkeypatch):
    monkeypatch.setitem(SOURCES, "made_up", SourceSpec(f"{HERE}:my_source"))
    assert list(SOURCES.find("made_up").arguments) == ["count"]
    assert SOURCES["made_up"].summary == "Reads a made-up source."
    source = open_source("made_up", task="classification", count=7)
    assert source.train.count == 7


def test_a_source_of_ones_own_gets_its_arguments():
    source = open_source(f"{HERE}:my_source", task="classification", count=7)
    assert source.train.count == 7
    ((numbers, _, y),) = source.train.chunks()
    assert list(numbers) == list(y) == list(range(7))


def test_the_task_goes_to_functions_that_have_a_parameter_for_it():
    # `name` is the function's own, as that of a TFDS builder is.
    function = f"{HERE}:source_of_any_task"
    source = open_source(function, task="regression", name="y")
    assert (source.task, source.class_names) == ("regression", ["y"])
    assert list(SOURCES.find(function).arguments) == ["name"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            f"{HERE}:nothing",
            f"The function '{HERE}:nothing' cannot be imported",
        ),
        ("no_such_module:f", "Write 'package.module:function', of a module"),
        ("nonsense", "There is no data source 'nonsense'. Allowed: digits, "),
        (f"{HERE}:not_a_source", "must return a kd_tf.*Received: list"),
    ],
)
def test_names_that_stand_for_no_source_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        open_source(name, task="classification")


def test_reading_the_table_starts_no_tensorflow():
    code = (
        "import sys; from kd_tf.data.sources import SOURCES;"
        "[spec.arguments for spec in SOURCES.values()];"
        "heavy = {'tensorflow', 'keras', 'PIL', 'sklearn', 'soundfile'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
