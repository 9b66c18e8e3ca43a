import numpy as np
import pytest

from kd_tf.data.sources.source import ArraySpec, Examples, Source
from kd_tf.data.splitting.writing import SplitWriter


@pytest.fixture
def make_writer(tmp_path):
    """Function from a source's fields to (writer, function reading x, y)."""

    def make(size, shape=(2,), dtype="uint8", **fields):
        source = Source(
            class_names=["a", "b"],
            example=ArraySpec(shape, dtype),
            train=Examples(size, lambda: iter([])),
            test=None,
            **fields,
        )
        paths = [str(tmp_path / f"{part}.npy") for part in "xy"]
        writer = SplitWriter(*paths, size=size, source=source)
        return writer, lambda: [np.load(path) for path in paths]

    return make


def test_examples_are_written_to_their_rows(make_writer):
    writer, read = make_writer(3)
    x = np.array([[1, 2], [3, 4], [5, 6]])
    writer.write(x[:2], np.array([0, 1]), rows=np.array([2, 0]))
    writer.write(x[2:], np.array([1]), rows=np.array([1]))
    written = writer.close()
    assert read()[0].tolist() == [[3, 4], [5, 6], [1, 2]]
    assert read()[1].tolist() == [1, 1, 0]
    assert (written.count, written.per_class) == (3, [1, 2])
    assert written.feature_moments is written.target_moments is None


def test_rows_that_were_never_written_are_closed_up(make_writer):
    writer, read = make_writer(5)
    x = np.array([[1, 1], [3, 3], [4, 4]])
    writer.write(x, np.array([0, 1, 0]), rows=np.array([1, 3, 4]))
    assert writer.close().count == 3
    x, y = read()
    # The last ones move to where others are missing.
    assert x.tolist() == [[3, 3], [1, 1], [4, 4]]
    assert (x.dtype, y.tolist()) == (np.uint8, [1, 0, 0])


def test_moments_are_those_of_all_chunks(make_writer):
    writer, _ = make_writer(
        4,
        dtype="float32",
        target=ArraySpec((2,), "float32"),
        task="regression",
    )
    x = np.array([[1, 7], [2, 7], [3, 7], [6, 7]], "float32")
    for rows in (np.arange(3), np.arange(3, 4)):
        writer.write(x[rows], -x[rows], rows=rows)
    written = writer.close()
    # (1 + 2 + 3 + 6) / 4 = 3, (4 + 1 + 0 + 9) / 4 = 3.5; 7 never changes.
    assert written.feature_moments.mean == [3, 7]
    np.testing.assert_allclose(written.feature_moments.std, [3.5**0.5, 1])
    assert written.target_moments.mean == [-3, -7]


def test_recordings_and_empty_splits_have_no_moments(make_writer):
    writer, _ = make_writer(0, dtype="float32")
    assert writer.close().feature_moments is None
    writer, _ = make_writer(1, dtype="float32", sample_rate=100)
    writer.write(np.ones((1, 2)), np.array([1]), rows=np.array([0]))
    assert writer.close().feature_moments is None


def test_arrays_of_another_shape_are_refused(make_writer):
    writer, _ = make_writer(1)
    with pytest.raises(ValueError, match=r"\(2,\)\. Received: \(3,\)"):
        writer.write(np.ones((1, 3)), np.array([1]), rows=np.array([0]))
