import math

import numpy as np

from kd_tf.results import ScoreRecord
from kd_tf.tasks.ratios import mean_of_defined, ratio, ratios, score_record


def test_ratios_to_nothing_are_nan():
    assert ratio(1, 4) == 0.25
    assert math.isnan(ratio(0, 0))
    np.testing.assert_array_equal(ratios([1, 2], [4, 0]), [0.25, np.nan])


def test_means_leave_out_what_is_undefined():
    assert mean_of_defined([0.5, np.nan, 1.0]) == 0.75
    assert math.isnan(mean_of_defined([np.nan]))
    assert math.isnan(mean_of_defined([]))


def test_records_have_none_for_nan():
    scores = {"a": np.float64(0.5), "b": np.nan}
    record = score_record(scores, {"IoU": np.array([0.25, np.nan])})
    assert record == ScoreRecord({"a": 0.5, "b": None}, {"IoU": [0.25, None]})
    assert type(record.scores["a"]) is float
