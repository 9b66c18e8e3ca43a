import numpy as np
import pytest

from kd_tf.data.sources.npz import npz_source
from tests.data.hand_made import read_all


def test_npz_is_read_as_written(npz_file):
    path = npz_file()
    source = npz_source(path)
    with np.load(path) as arrays:
        for examples, part in ((source.train, "train"), (source.test, "test")):
            x, y = read_all(examples)
            np.testing.assert_array_equal(x[..., 0], arrays[f"x_{part}"])
            np.testing.assert_array_equal(y, arrays[f"y_{part}"])
            assert examples.count == len(y)
    assert source.class_names == ["0", "1", "2"]


ACCEPTED = {
    "channels": {"x_train": (60, 8, 8, 3), "x_test": (15, 8, 8, 3)},
    "vectors": {"x_train": (60, 5), "x_test": (15, 5)},
}


@pytest.mark.parametrize("shapes", ACCEPTED.values(), ids=ACCEPTED)
def test_npz_shapes(npz_file, shapes):
    arrays = {k: np.full(shape, 7, "uint8") for k, shape in shapes.items()}
    source = npz_source(npz_file(**arrays))
    assert source.example.shape == shapes["x_train"][1:]
    np.testing.assert_array_equal(read_all(source.train)[0], arrays["x_train"])


@pytest.mark.parametrize("dtype", ["float64", "int64", ">i4", "bool"])
def test_npz_of_whole_numbers_in_any_type(npz_file, dtype):
    x = np.random.default_rng(1).integers(0, 2, (60, 8, 8)).astype(dtype)
    source = npz_source(npz_file(x_train=x))
    np.testing.assert_array_equal(read_all(source.train)[0][..., 0], x)


def test_npz_in_fortran_order_and_labels_as_a_column(npz_file):
    x = np.asfortranarray(np.arange(60 * 64).reshape(60, 8, 8) % 256)
    y = (np.arange(60) % 3).reshape(60, 1)
    source = npz_source(npz_file(x_train=x, y_train=y))
    images, labels = read_all(source.train)
    np.testing.assert_array_equal(images[..., 0], x)
    np.testing.assert_array_equal(labels, y[:, 0])


def test_npz_is_read_in_chunks(npz_file, monkeypatch):
    monkeypatch.setattr("kd_tf.data.sources.npz._CHUNK_BYTES", 7 * 64)
    chunks = list(npz_source(npz_file()).train.chunks())
    assert [len(y) for _, _, y in chunks] == [7] * 8 + [4]


def test_npz_class_names(npz_file):
    path = npz_file(class_names=np.array(["cat", "dog", "eel"]))
    assert npz_source(path).class_names == ["cat", "dog", "eel"]


REFUSED = {
    "missing arrays": (
        {"x_test": None, "y_test": None},
        "lacks x_test, y_test. It must hold x_train, y_train, x_test, "
        "y_test. Received: x_train, y_train",
    ),
    "objects": (
        {"y_train": np.array([{}] * 60, dtype=object)},
        "Python objects in y_train.* Received: dtype object",
    ),
    "fractions": (
        {"x_train": np.full((60, 8, 8), 0.5)},
        "x_train must hold whole numbers from 0 to 255.* Received: float64",
    ),
    "negative": (
        {"x_train": np.full((60, 8, 8), -1)},
        "Received: int64 from -1 to -1",
    ),
    "not a number": (
        {"x_train": np.full((60, 8, 8), np.nan)},
        "must hold whole",
    ),
    "labels one-hot": (
        {"y_train": np.eye(60)},
        r"invalid labels in y_train.* whole numbers from 0, of shape \(N,\)",
    ),
    "labels of fractions": ({"y_train": np.full(60, 0.5)}, "invalid labels"),
    "too few labels": (
        {"y_train": np.zeros(59, int)},
        "Received: 60 in x_train, 59 in y_train",
    ),
    "unequal shapes": (
        {"x_test": np.zeros((15, 9, 9), "uint8")},
        r"unequal.* Received: \(60, 8, 8\) and \(15, 9, 9\)",
    ),
    "too few names": (
        {"class_names": np.array(["cat"])},
        "too few classes: class_names must name each of the 3",
    ),
}


@pytest.mark.parametrize(("arrays", "message"), REFUSED.values(), ids=REFUSED)
def test_npz_that_cannot_be_used_is_refused(npz_file, arrays, message):
    with pytest.raises(ValueError, match=message):
        read_all(npz_source(npz_file(**arrays)).train)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04broken", None])
def test_file_that_is_not_an_npz_is_refused(npz_file, content):
    path = npz_file()
    with open(path, "rb") as file:
        whole = file.read()
    with open(path, "wb") as file:
        file.write(whole[:700] if content is None else content)
    with pytest.raises(ValueError, match=r"must be an .npz archive"):
        npz_source(path)
