from typing import Annotated

import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation.loss_arguments import (
    check_arguments,
    check_range,
    read_parameters,
)
from kd_tf.ranges import Count, Fraction, NonNegative, Positive

NAN, INFINITY = float("nan"), float("inf")


def loss(a, b, *, labels, factor: Positive = 1.0, other=2, **further):
    return factor


def test_parameters_leave_out_the_tensors_and_what_is_variadic():
    assert list(read_parameters(loss)) == ["labels", "factor", "other"]


def test_unknown_arguments_are_refused_with_those_allowed():
    with pytest.raises(ValueError, match="'mine' has no argument 'x'") as e:
        check_arguments("mine", {"x": 1}, read_parameters(loss))
    assert "Allowed: factor, other. Received: x=1" in str(e.value)


def test_arguments_are_checked_by_their_ranges():
    with pytest.raises(ValueError, match="`factor` must be greater than 0"):
        check_arguments("mine", {"factor": 0}, read_parameters(loss))
    assert check_arguments("mine", {"factor": 1}, read_parameters(loss)) is None


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (Positive, 0, "must be greater than 0"),
        (Positive, NAN, "must be a finite number"),
        (Positive, INFINITY, "must be a finite number"),
        (NonNegative, -0.5, "must be greater than or equal to 0"),
        (NonNegative, np.float32(NAN), "must be a finite number"),
        (Fraction, 1.0, "must be less than 1"),
        (Count, 0, "must be greater than or equal to 1"),
        (Count, 1.5, "must be a valid integer"),
    ],
)
def test_value_out_of_range_is_refused(annotation, value, problem):
    with pytest.raises(ValueError, match=f"`x` {problem}") as raised:
        check_range("x", value, annotation=annotation)
    assert str(raised.value).endswith(f"Received: x={value}")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Positive, 1),
        (Positive, np.float32(0.5)),
        (NonNegative, 0),
        # Not numbers: schedules and tensors are known when a step runs.
        (Positive, lambda step: -step),
        (Positive, tf.constant(-1.0)),
        (Positive, "high"),
        # No range to check.
        (float, NAN),
        ("Positive", NAN),
        (Annotated[str, "any"], -1),
    ],
)
def test_all_else_is_taken_as_it_is(annotation, value):
    assert check_range("x", value, annotation=annotation) is None
