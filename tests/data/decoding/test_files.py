import threading
import time

import numpy as np
import pytest

from kd_tf.data.decoding.files import list_files, read_in_order
from kd_tf.data.sources.source import InvalidData


def test_files_are_listed_however_deep_and_hidden_ones_are_not(tmp_path):
    for name in ("b.PNG", "a/x.jpg", "a/b/c/y.png", ".h/z.png", "a/._x.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    names = list_files(tmp_path, (".png", ".jpg"))
    assert names == ["a/b/c/y.png", "a/x.jpg", "b.PNG"]


@pytest.mark.parametrize(
    ("folder", "received"),
    [("", "a folder without such files"), ("x", "no such folder")],
)
def test_folder_with_nothing_to_read_is_refused(tmp_path, folder, received):
    with pytest.raises(ValueError, match=f"no files to read.*: {received}"):
        list_files(tmp_path / folder, (".png",))


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_order_does_not_depend_on_the_threads(monkeypatch, workers):
    monkeypatch.setattr("kd_tf.data.decoding.files._WORKERS", workers)
    problems = []

    def read(name):
        time.sleep(0.002 * (name * 7 % 5))
        if name % 10 == 3:
            raise InvalidData("is invalid")
        return np.full((name % 3, 1), name), np.full(name % 3, name)

    counts = [name % 3 for name in range(40)]
    chunks = list(
        read_in_order(range(40), counts, read=read, problems=problems)
    )
    valid = [name for name in range(40) if name % 10 != 3]
    assert problems == [(name, "is invalid") for name in (3, 13, 23, 33)]
    starts = np.cumsum([0, *counts])
    for name, (numbers, x, y) in zip(valid, chunks, strict=True):
        assert list(numbers) == list(range(starts[name], starts[name + 1]))
        assert set(x[:, 0]) == set(y) == ({name} if name % 3 else set())


def test_reading_ahead_is_bounded(monkeypatch):
    monkeypatch.setattr("kd_tf.data.decoding.files._WORKERS", 3)
    begun, lock = [], threading.Lock()

    def read(name):
        with lock:
            begun.append(name)
        return np.zeros((1, 1)), np.zeros(1)

    chunks = read_in_order(range(1000), [1] * 1000, read=read, problems=[])
    for taken in range(1, 20):
        next(chunks)
        time.sleep(0.005)  # time enough to run away in
        assert len(begun) <= taken + 2 * 3
    chunks.close()
