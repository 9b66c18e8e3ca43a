import dataclasses
import errno
import os

import numpy as np
import pytest

from kd_tf.data.sources.source import ArraySpec, Examples, Source
from kd_tf.data.splitting.assignment import SplitSettings
from kd_tf.data.splitting.splits import SPLITS
from kd_tf.results import DataRecord, from_json, to_json
from tests.data import hand_made
from tests.data.hand_made import listed


def source(
    count=100, test=None, labels=None, promised=None, invalid=(), **files
):
    """Example i is an image full of i; its label is i % 4."""
    problems = []

    def examples(start, count, **files):
        x = np.arange(start, start + count, dtype="uint8")
        x = np.broadcast_to(x[:, None, None], (count, 2, 3))
        y = np.arange(start, start + count) % 4 if labels is None else labels

        def chunks():
            valid = [i for i in range(count) if i not in invalid]
            problems.extend(
                (f"{i}.png", "is invalid") for i in invalid if i < count
            )
            for i in range(0, len(valid), 7):
                numbers = np.array(valid[i : i + 7])
                yield numbers, x[numbers], y[numbers]

        return Examples(promised or count, chunks, **files)

    return Source(
        class_names=["a", "b", "c", "d"],
        example=ArraySpec((2, 3), "uint8"),
        train=examples(0, count, **files),
        test=None if test is None else examples(count, test),
        problems=problems,
    )


def write(folder, data, validation_fraction=0.1, seed=0, **options):
    settings = SplitSettings(validation_fraction, 0.2)
    return hand_made.write(data, folder, settings, seed, **options)


def numbers(split):
    return split.examples()[:, 0, 0]


@pytest.mark.parametrize("test", [None, 30])
def test_every_example_is_in_one_split_with_its_label(tmp_path, test):
    record, splits = write(tmp_path, source(test=test))
    examples = np.concatenate([numbers(splits[name]) for name in SPLITS])
    assert sorted(examples) == list(range(100 + (test or 0)))
    for name, split in splits.items():
        np.testing.assert_array_equal(split.targets(), numbers(split) % 4)
        assert (split.examples() == split.examples()[:, :1, :1]).all()
        assert record.examples[name] == len(split.targets()) == split.count
        counts = np.bincount(split.targets(), minlength=4)
        assert record.examples_per_class[name] == counts.tolist()


def test_fractions_are_of_the_examples_that_remain(tmp_path):
    # 20 of 100 to test, then 10 % of the other 80 to validation.
    record, _ = write(tmp_path, source())
    assert record.examples == {"train": 72, "validation": 8, "test": 20}


def test_test_part_of_the_source_is_left_alone(tmp_path):
    record, splits = write(tmp_path, source(test=30))
    assert record.examples == {"train": 90, "validation": 10, "test": 30}
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


def test_invalid_examples_leave_no_holes(tmp_path):
    invalid = [0, 3, 4, 50, 98, 99]
    _, splits = write(tmp_path, source())
    before = {name: set(numbers(split)) for name, split in splits.items()}
    record, splits = write(tmp_path, source(invalid=invalid), on_error="skip")
    assert record.skipped == [(f"{i}.png", "is invalid") for i in invalid]
    for name, split in splits.items():
        assert set(numbers(split)) == before[name] - set(invalid)
        assert record.examples[name] == split.count
        np.testing.assert_array_equal(split.targets(), numbers(split) % 4)
        # Nothing is left over behind the last row.
        x = split.examples()
        assert os.path.getsize(split.x_path) == x.offset + x.nbytes
    assert sum(record.examples.values()) == 94


def test_invalid_examples_of_the_source_s_test_part_leave_no_holes(tmp_path):
    _, splits = write(
        tmp_path, source(test=30, invalid=[2, 29]), on_error="skip"
    )
    assert set(numbers(splits["test"])) == set(range(100, 130)) - {102, 129}
    np.testing.assert_array_equal(
        splits["test"].targets(), numbers(splits["test"]) % 4
    )


def test_all_invalid_examples_are_listed_before_it_stops(tmp_path):
    message = r"Invalid data\. Fix or remove these examples, or set on_error='s"
    with pytest.raises(ValueError, match=message) as caught:
        write(tmp_path, source(invalid=[0, 3, 99]))
    assert listed(caught) == [f"  {i}.png: is invalid" for i in (0, 3, 99)]


def test_of_very_many_invalid_examples_the_first_are_listed(tmp_path):
    with pytest.raises(ValueError, match="and 30 more") as caught:
        write(tmp_path, source(invalid=range(50)))
    assert "19.png: is invalid" in str(caught.value)
    assert "20.png" not in str(caught.value)


@pytest.mark.parametrize(
    ("count", "test", "validation_fraction", "empty"),
    [(4, None, 0.1, "validation"), (1, 3, 0.9, "train"), (20, 0, 0.1, "test")],
)
def test_empty_split_is_refused(
    tmp_path, count, test, validation_fraction, empty
):
    with pytest.raises(ValueError, match=f"The {empty} split is empty; each"):
        write(tmp_path, source(count, test), validation_fraction)


def test_split_left_empty_by_invalid_examples_is_refused(tmp_path):
    _, splits = write(tmp_path, source())
    invalid = numbers(splits["validation"]).tolist()
    with pytest.raises(ValueError, match="The validation split is empty"):
        write(tmp_path, source(invalid=invalid), on_error="skip")


def test_class_only_in_test_is_listed(tmp_path):
    # Whoever is drawn for test is alone in class 3.
    _, splits = write(tmp_path, source())
    labels = np.zeros(100, int)
    labels[numbers(splits["test"])[:5]] = 3
    with pytest.raises(
        ValueError, match="class 'd': is 5 times in test, never"
    ):
        write(tmp_path, source(labels=labels))
    record, _ = write(tmp_path, source(labels=labels), on_error="skip")
    assert record.skipped == [
        ("class 'd'", "is 5 times in test, never in train")
    ]


def test_label_that_is_not_a_class_is_refused(tmp_path):
    labels = np.full(100, 4)
    with pytest.raises(ValueError, match=r"0 to 3.* Received: 4 to 4"):
        write(tmp_path, source(labels=labels))


def test_source_that_ends_early_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ended early.* 110 .*Received: 100"):
        write(tmp_path, source(promised=110))


def test_rows_of_another_shape_are_refused(tmp_path):
    labels = np.zeros((100, 2), int)
    with pytest.raises(ValueError, match=r"it states, \(\)\. Received: \(2,\)"):
        write(tmp_path, source(labels=labels))


@pytest.mark.parametrize("invalid", [(), (1, 2)])
def test_the_same_file_in_two_splits_is_refused_unless_it_is_invalid(
    tmp_path, invalid
):
    names = [f"{i}.png" for i in range(100)]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(b"" if i in (1, 2) else bytes([i] * 9))
    _, splits = write(tmp_path, source())
    # Two empty files, the one in train, the other in test.
    ends = (1, 2), (numbers(splits[part])[0] for part in ("train", "test"))
    for i, j in zip(*ends, strict=True):
        names[i], names[j] = names[j], names[i]
    files = {"names": names, "folder": str(tmp_path)}
    invalid = [names.index(f"{i}.png") for i in invalid]
    data = source(invalid=invalid, **files)
    if invalid:
        record, _ = write(tmp_path, data, on_error="skip")
        assert len(record.skipped) == 2
        return
    with pytest.raises(ValueError, match="The same file is in two splits"):
        write(tmp_path, data)


def test_moments_of_a_regression_are_right_far_from_zero(tmp_path):
    # Years: a sum in float32 would be off by more than they differ.
    years = np.random.default_rng(0).integers(1950, 2020, (30_000, 1))
    years = years.astype("float32")

    def chunks():
        for i in range(0, len(years), 10_000):
            rows = years[i : i + 10_000]
            yield np.arange(i, i + len(rows)), rows, rows

    data = Source(
        class_names=["year"],
        example=ArraySpec((1,), "float32"),
        train=Examples(len(years), chunks),
        test=None,
        target=ArraySpec((1,), "float32"),
        task="regression",
    )
    record, splits = write(tmp_path, data)
    train = splits["train"].targets().astype(float)
    for moments in (record.target_moments, record.feature_moments):
        np.testing.assert_allclose(moments.mean, train.mean(0))
        np.testing.assert_allclose(moments.std, train.std(0), rtol=1e-6)


def test_full_disk_is_noticed_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "shutil.disk_usage", lambda _: type("D", (), {"free": 9})
    )
    with pytest.raises(OSError, match="1,400 bytes, 9 are free") as caught:
        write(tmp_path, source())
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_moments_are_those_of_small_changes_of_great_numbers(tmp_path):
    # As seconds since 1970: squares lose what tells them apart.
    x = 1.6e9 + np.random.default_rng(0).uniform(0, 600, (1000, 1))
    x = np.concatenate([x, np.full_like(x, 1.6e9)], axis=1)
    labels = np.arange(1000) % 2
    data = Source(
        class_names=["even", "odd"],
        example=ArraySpec((2,), "float64"),
        train=Examples(1000, lambda: [(np.arange(1000), x, labels)]),
        test=None,
    )
    record, splits = write(tmp_path, data)
    std = splits["train"].examples()[:, 0].std()
    # What stands still is divided by 1.
    np.testing.assert_allclose(record.feature_moments.std, [std, 1])


@pytest.mark.parametrize(
    ("task", "shape"),
    [
        ("classification", (1,)),
        ("regression", ()),
        ("multilabel", (3,)),
        ("segmentation", (3, 2)),
    ],
)
def test_targets_of_another_shape_are_refused(tmp_path, task, shape):
    data = dataclasses.replace(
        source(), task=task, target=ArraySpec(shape, "float32")
    )
    with pytest.raises(ValueError, match="targets do not fit the task"):
        write(tmp_path, data)


ORIGINS = {
    "test part": ({}, 30, "the source's own"),
    "pattern": ({"test_pattern": "^1"}, None, "selected by test_pattern"),
    "fraction": ({}, None, "drawn by the seed"),
}


@pytest.mark.parametrize(
    ("settings", "test", "origin"), ORIGINS.values(), ids=ORIGINS
)
def test_record_says_what_was_written(tmp_path, settings, test, origin):
    names = [f"{i}.png" for i in range(100)]
    data = source(test=test, names=names)
    record, splits = hand_made.write(data, tmp_path, SplitSettings(**settings))
    assert record.test_split == origin
    assert record.task == "classification"
    assert record.class_names == ["a", "b", "c", "d"]
    assert (record.example_shape, record.example_dtype) == ([2, 3], "uint8")
    assert record.target_shape == []
    assert record.palette is record.sample_rate is None
    # Pixels are not features of a table, class numbers are not values.
    assert record.feature_moments is record.target_moments is None
    assert record.examples == {name: s.count for name, s in splits.items()}
    assert from_json(DataRecord, to_json(record)) == record
