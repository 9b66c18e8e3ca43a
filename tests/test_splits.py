import errno

import numpy as np
import pytest

from kd_tf.data.sources import Examples, Source
from kd_tf.data.splits import SPLITS, Split, write_splits


def source(count=100, test=None, labels=None, promised=None):
    """Example i is an image full of i; its label is i % 4."""

    def examples(start, count):
        numbers = np.arange(start, start + count)
        x = np.broadcast_to(numbers[:, None, None], (count, 2, 3))
        y = numbers % 4 if labels is None else labels

        def chunks():
            for i in range(0, count, 7):
                yield x[i : i + 7].astype("uint8"), y[i : i + 7]

        return Examples(promised or count, chunks)

    return Source(
        class_names=["a", "b", "c", "d"],
        example_shape=(2, 3),
        train=examples(0, count),
        test=None if test is None else examples(count, test),
    )


def write(folder, data, validation_share=0.1, test_share=0.2, seed=0):
    record = write_splits(
        data,
        str(folder),
        validation_share=validation_share,
        test_share=test_share,
        seed=seed,
    )
    return record, {name: Split.in_folder(folder, name) for name in SPLITS}


def numbers(split):
    return split.images()[:, 0, 0]


@pytest.mark.parametrize("test", [None, 30])
def test_every_example_is_in_one_split_with_its_label(tmp_path, test):
    record, splits = write(tmp_path, source(test=test))
    found = np.concatenate([numbers(splits[name]) for name in SPLITS])
    assert sorted(found) == list(range(100 + (test or 0)))
    for name, split in splits.items():
        np.testing.assert_array_equal(split.labels(), numbers(split) % 4)
        assert (split.images() == split.images()[:, :1, :1]).all()
        assert record["examples"][name] == len(split.labels())
        counts = np.bincount(split.labels(), minlength=4)
        assert record["examples_per_class"][name] == counts.tolist()


def test_shares_are_of_what_is_left(tmp_path):
    # 20 of 100 to test, then 10 % of the other 80 to validation.
    record, _ = write(tmp_path, source())
    assert record["examples"] == {"train": 72, "validation": 8, "test": 20}


def test_test_part_of_the_source_is_left_alone(tmp_path):
    record, splits = write(tmp_path, source(test=30))
    assert record["examples"] == {"train": 90, "validation": 10, "test": 30}
    assert list(numbers(splits["test"])) == list(range(100, 130))


def test_seed_decides_who_goes_where(tmp_path):
    orders = []
    for i, seed in enumerate((1, 1, 2)):
        (tmp_path / str(i)).mkdir()
        _, splits = write(tmp_path / str(i), source(), seed=seed)
        orders.append(list(numbers(splits["train"])))
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != sorted(orders[0])


@pytest.mark.parametrize(
    ("count", "test", "validation_share", "empty"),
    [(4, None, 0.1, "validation"), (1, 3, 0.9, "train"), (20, 0, 0.1, "test")],
)
def test_empty_split_is_refused(tmp_path, count, test, validation_share, empty):
    with pytest.raises(ValueError, match=f"The {empty} split is empty. Allow"):
        write(tmp_path, source(count, test), validation_share)


def test_label_that_is_no_class_is_refused(tmp_path):
    labels = np.full(100, 4)
    with pytest.raises(ValueError, match="Allowed: 0 to 3. Received: 4 to 4"):
        write(tmp_path, source(labels=labels))


def test_source_that_ends_early_is_refused(tmp_path):
    with pytest.raises(ValueError, match="ended early"):
        write(tmp_path, source(promised=110))


def test_full_disk_is_noticed_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "shutil.disk_usage", lambda _: type("D", (), {"free": 9})
    )
    with pytest.raises(OSError, match="1,400 bytes, 9 are free") as caught:
        write(tmp_path, source())
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())
