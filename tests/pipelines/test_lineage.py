import pytest

from kd_tf.export.recipes import RECIPES
from pipelines.config.loading import load_config
from pipelines.lineage import (
    lineage,
    reference_variant,
    released_variant,
    unpruned_student,
)


def variants(tiny_config, *overrides):
    return lineage(load_config(tiny_config, overrides))


@pytest.mark.parametrize(
    ("overrides", "models", "unpruned"),
    [
        ([], ["teacher", "control", "student", "pruned"], "student"),
        (
            ["prune.enabled=false"],
            ["teacher", "control", "student"],
            "student",
        ),
        (
            ["distill.enabled=false"],
            ["teacher", "control", "pruned"],
            "control",
        ),
        (
            ["teacher.enabled=false", "distill.enabled=false"],
            ["control", "pruned"],
            "control",
        ),
        (
            ["student.path=setup.cfg", "distill.enabled=false"],
            ["teacher", "student", "pruned"],
            "student",
        ),
        (
            ["control.enabled=false"],
            ["teacher", "student", "pruned"],
            "student",
        ),
    ],
)
def test_models_of_a_config(tiny_config, overrides, models, unpruned):
    config = load_config(tiny_config, overrides)
    made = [v for v in lineage(config) if not v.is_file]
    assert [v.name for v in made] == models
    assert unpruned_student(config) == unpruned
    if "pruned" in models:
        assert made[-1].made_from == unpruned
        assert made[-1].compared_with == unpruned


def test_every_recipe_is_a_file_made_from_the_last_model(tiny_config):
    files = [v for v in variants(tiny_config) if v.is_file]
    assert [v.name for v in files] == list(RECIPES)
    assert {v.made_from for v in files} == {"pruned"}
    assert {v.made_by for v in files} == {"quantize"}


def test_without_quantization_the_float_file_is_released(tiny_config):
    config = load_config(tiny_config, ["quantize.enabled=false"])
    *_, file = lineage(config)
    assert (file.name, file.made_from) == ("float", "pruned")
    assert released_variant(config) == "float"


def test_the_distilled_student_is_compared_with_the_control(tiny_config):
    of_name = {v.name: v for v in variants(tiny_config)}
    assert of_name["student"].compared_with == "control"
    assert of_name["student"].taught_by == "teacher"
    assert of_name["pruned"].taught_by == "teacher"
    assert of_name["control"].taught_by is None
    alone = {v.name: v for v in variants(tiny_config, "control.enabled=false")}
    assert alone["student"].compared_with is None


def test_a_student_that_is_handed_in_was_taught_by_nobody_here(tiny_config):
    of_name = {
        v.name: v for v in variants(tiny_config, "student.path=setup.cfg")
    }
    assert of_name["student"].title == "student"
    assert of_name["student"].taught_by is None


@pytest.mark.parametrize(
    ("override", "released"),
    [
        ("quantize.enabled=false", "float"),
        ("quantize.release=weight_only_int8", "weight_only_int8"),
        ("quantize.release=int8", "int8"),
    ],
)
def test_released_variant(tiny_config, override, released):
    assert released_variant(load_config(tiny_config, [override])) == released


def test_reference_variant(tiny_config):
    assert reference_variant(load_config(tiny_config)) == "teacher"
    off = ["teacher.enabled=false", "distill.enabled=false"]
    assert reference_variant(load_config(tiny_config, off)) is None
