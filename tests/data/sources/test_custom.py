import numpy as np
import pytest

from kd_tf import build_model, custom_source
from kd_tf.data.sources.source import ArraySpec, Examples, Source, numbered


def my_source(count=4):
    x, y = np.zeros((count, 2, 2, 1), "uint8"), np.arange(count)
    return Source(
        class_names=[str(i) for i in range(count)],
        example=ArraySpec((2, 2, 1), "uint8"),
        train=Examples(count, lambda: numbered([(x, y)])),
        test=None,
    )


def not_a_source():
    return [1, 2]


def test_a_source_of_ones_own_gets_its_arguments():
    source = custom_source("tests.data.sources.test_custom:my_source", count=7)
    assert source.train.count == 7
    ((numbers, x, y),) = source.train.chunks()
    assert list(numbers) == list(y) == list(range(7))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "tests.data.sources.test_custom:nothing",
            "There is no source 'tests.data.sources.test_custom:",
        ),
        ("no_such_module:f", "Allowed: 'package.module:function' that Python"),
        ("nonsense", "There is no source 'nonsense'"),
        ("tests.data.sources.test_custom:not_a_source", "Received: list"),
    ],
)
def test_what_is_no_source_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        custom_source(name)


@pytest.mark.parametrize("name", ["bert", "os:nothing", "no_such_module:f"])
def test_what_is_no_model_is_refused(name):
    with pytest.raises(ValueError, match=f"There is no model '{name}'. Allo"):
        build_model(name, (8, 8, 1), 3)
