import numpy as np
import pytest

from kd_tf.data.sources.source import Examples
from kd_tf.data.splitting.assignment import (
    SPLITS,
    SplitSettings,
    assign,
)


def split(names, seed=0, has_test=False, **settings):
    """{split: set of the numbers of its examples}."""
    count = names if isinstance(names, int) else len(names)
    names = None if isinstance(names, int) else names
    rank = np.random.default_rng(seed).permutation(count)
    examples = Examples(count, None, names)
    settings = SplitSettings(**settings)
    split_of = assign(examples, settings, rank=rank, has_test=has_test)
    assert split_of.shape == (count,)
    return {
        name: set(np.flatnonzero(split_of == number).tolist())
        for number, name in enumerate(SPLITS)
    }


def sizes(parts):
    return [len(parts[name]) for name in SPLITS]


def files(count):
    return [f"{i:04}.png" for i in range(count)]


def test_fractions_without_names():
    # 25 of 50 to test; 0.2 * 25 = 5 to validation.
    parts = split(50, test_fraction=0.5, validation_fraction=0.2)
    assert sizes(parts) == [20, 5, 25]


def test_fractions_with_a_name_for_each_example():
    assert sizes(split(files(50), test_fraction=0.5)) == [23, 2, 25]


def test_test_fraction_is_not_used_where_the_source_has_a_test_part():
    parts = split(50, has_test=True, test_fraction=0.5, validation_fraction=0.2)
    assert sizes(parts) == [40, 10, 0]


def test_examples_that_are_drawn_first_go_to_test():
    # Ranks: example 2 is first, then 0, 3, 1, 4.
    examples = Examples(5, None, None)
    rank = np.array([1, 3, 0, 2, 4])
    settings = SplitSettings(validation_fraction=0.3, test_fraction=0.4)
    split_of = assign(examples, settings, rank=rank, has_test=False)
    assert [SPLITS[i] for i in split_of] == [
        "test",
        "train",
        "test",
        "validation",
        "train",
    ]


@pytest.mark.parametrize("seed", range(5))
def test_tiles_of_one_file_are_never_separated(seed):
    names = [name for name in files(10) for _ in range(7)]
    parts = split(names, seed, test_fraction=0.2, validation_fraction=0.25)
    # 14 of 70 to test are 2 files, 0.25 * 56 = 14 to validation are 2.
    assert sizes(parts) == [42, 14, 14]
    for part in parts.values():
        assert part == {
            i for i in range(70) if i // 7 in {j // 7 for j in part}
        }


SPEAKERS = [f"{digit}_{who}_0.wav" for digit in range(10) for who in "abcde"]


@pytest.mark.parametrize("group", [r"_(\w)_", r"(?<=_)\w(?=_)"])
def test_groups_are_never_separated(group):
    parts = split(
        SPEAKERS, group=group, test_fraction=0.2, validation_fraction=0.2
    )
    # 10 of 50 are one speaker; 0.2 * 40 = 8 begin another.
    assert sizes(parts) == [30, 10, 10]
    speakers = [{SPEAKERS[i][2] for i in part} for part in parts.values()]
    assert [len(names) for names in speakers] == [3, 1, 1]
    assert len(set().union(*speakers)) == 5


def test_every_group_may_be_drawn():
    drawn = {
        SPEAKERS[min(split(SPEAKERS, seed, group=r"_(\w)_")["test"])][2]
        for seed in range(60)
    }
    assert drawn == set("abcde")


def test_name_without_a_group_is_refused():
    with pytest.raises(ValueError, match=r"'_\(b\)_' must be found.*: 0_a_0"):
        split(SPEAKERS, group="_(b)_")


def test_patterns_go_before_fractions():
    names = [f"scene{i}/part_{j}.jpg" for i in range(8) for j in range(1, 10)]
    parts = split(
        names,
        test_pattern=r"part_[89]",
        validation_pattern=r"part_7",
        validation_fraction=0.9,
    )
    assert sizes(parts) == [48, 8, 16]
    assert {names[i][-5] for i in parts["test"]} == {"8", "9"}
    assert {names[i][-5] for i in parts["validation"]} == {"7"}


def test_a_name_that_matches_both_patterns_is_test():
    names = files(10)
    parts = split(names, test_pattern="1", validation_pattern="000[12]")
    assert parts["test"] == {1}
    assert parts["validation"] == {2}


def test_test_pattern_leaves_the_validation_fraction():
    # 10 of 50 to test by name, 0.25 * 40 to validation by lot.
    parts = split(SPEAKERS, test_pattern="_a_", validation_fraction=0.25)
    assert sizes(parts) == [30, 10, 10]


def test_pattern_and_group_go_together_if_no_group_is_separated():
    settings = {"group": r"_(\w)_", "validation_fraction": 0.25}
    parts = split(SPEAKERS, test_pattern="_a_", **settings)
    assert sizes(parts) == [30, 10, 10]
    with pytest.raises(
        ValueError, match=r"A pattern separates a group.* in test"
    ):
        split(SPEAKERS, test_pattern="^0_", **settings)


REFUSED = {
    "no names, group": (9, {"group": "a"}, "have no names.*Received: a"),
    "no names, pattern": (9, {"test_pattern": "b"}, "have no names"),
    "test pattern without a match": (
        files(9),
        {"test_pattern": "x"},
        "found in no name; .* such as 0000.png. Received: 'x'",
    ),
    "validation pattern without a match": (
        files(9),
        {"validation_pattern": "y"},
        "found in no name.*Received: 'y'",
    ),
    "test pattern beside a test part": (
        files(9),
        {"test_pattern": "0", "has_test": True},
        "has a test split of its own",
    ),
}


@pytest.mark.parametrize(
    ("names", "settings", "message"), REFUSED.values(), ids=REFUSED
)
def test_splits_that_cannot_be_made_are_refused(names, settings, message):
    with pytest.raises(ValueError, match=message):
        split(names, **settings)
