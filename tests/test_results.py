import dataclasses
import math

import numpy as np
import pytest

from kd_tf.results import (
    CostRecord,
    Limit,
    Results,
    TrainingRecord,
    Variant,
    from_json,
    to_json,
    to_tree,
)
from tests.reporting.hand_made import results


@pytest.mark.parametrize("kind", ["images", "masks", "labels", "values"])
def test_results_survive_json(kind):
    made = results(kind)
    assert from_json(Results, to_json(made)) == made
    assert from_json(Results, to_json(made, indent=1)) == made


def test_a_dict_of_records_survives_json():
    costs = {"a": CostRecord(1, 2, 0.5, 0.6, 7.0, "here")}
    assert from_json(dict[str, CostRecord], to_json(costs)) == costs
    assert to_tree(costs)["a"]["size_bytes"] == 1


def test_what_is_not_finite_survives_json():
    record = TrainingRecord(math.nan, 1, [{"loss": math.inf}])
    again = from_json(TrainingRecord, to_json(record))
    assert math.isnan(again.validation_score)
    assert again.history == [{"loss": math.inf}]


def test_a_record_of_another_form_is_refused():
    with pytest.raises(ValueError, match="p50_ms"):
        from_json(CostRecord, '{"size_bytes": 1}')


def test_unknown_keys_are_ignored():
    text = '{"name": "a", "allowed": 1, "measured": 2, "later": 3}'
    assert from_json(Limit, text) == Limit("a", 1, 2)


@pytest.mark.parametrize(
    ("measured", "met"), [(1.0, True), (1.5, False), (math.nan, False)]
)
def test_a_limit_is_met_up_to_its_value(measured, met):
    assert Limit("max_size_kb", 1.0, measured).met == met


def test_a_limit_says_by_how_much_it_was_missed():
    assert str(Limit("max_size_kb", 20, 5)) == "max_size_kb: 5 of 20"
    assert str(Limit("max_size_kb", 20, 25.5)) == (
        "max_size_kb missed: allowed 20, measured 25.5, 5.5 too much"
    )


def test_the_model_of_a_file_is_what_it_was_made_from():
    made = dataclasses.replace(
        results("images"),
        variants=[
            Variant("big", "big", "teach"),
            Variant("small", "small", "distill", taught_by="big"),
            Variant("file", "file", "quantize", "small", is_file=True),
            Variant("packed", "packed", "pack", "file", is_file=True),
        ],
    )
    assert made.model_of("packed").name == "small"
    assert made.model_of("small").name == "small"
    assert made.variant("file").made_from == "small"


def test_half_a_character_and_numbers_of_numpy_are_written():
    costs = CostRecord(np.int64(1), 2, np.float32(0.5), 0.6, 7.0, "caf\udce9")
    again = from_json(CostRecord, to_json(costs))
    assert (again.size_bytes, again.p50_ms) == (1, 0.5)
    assert again.machine == "caf?"
