import numpy as np
import pytest

from kd_tf.data.sources.source import (
    CLASS_NUMBER,
    ArraySpec,
    InvalidData,
    as_pixels,
    decode_each,
)


def test_pixels_of_uint8_are_not_copied():
    x = np.zeros((2, 2), "uint8")
    assert as_pixels(x, "x") is x


@pytest.mark.parametrize("value", [-1, 256, 0.5, np.nan])
def test_values_that_are_not_pixels_are_refused(value):
    with pytest.raises(ValueError, match="x must hold whole numbers from 0"):
        as_pixels(np.full((2, 2), value), "x")


def test_bytes_of_a_row():
    assert CLASS_NUMBER.row_bytes == 8
    assert ArraySpec((8, 8, 3), "uint8").row_bytes == 192
    assert ArraySpec((1000,), "int16").row_bytes == 2000


def test_examples_are_decoded_one_by_one_without_the_invalid_ones():
    def decode(x, y):
        if x % 100 == 3:
            raise InvalidData("ends in 03")
        return np.full(2, x), -y

    problems = []
    chunks = list(
        decode_each(
            [(i, i) for i in range(300)],
            decode,
            name_of="example {}".format,
            problems=problems,
        )
    )
    valid = [i for i in range(300) if i % 100 != 3]
    assert [len(numbers) for numbers, _, _ in chunks] == [256, 41]
    numbers, x, y = (np.concatenate(part) for part in zip(*chunks, strict=True))
    assert numbers.tolist() == x[:, 1].tolist() == (-y).tolist() == valid
    assert problems == [(f"example {i}", "ends in 03") for i in (3, 103, 203)]
