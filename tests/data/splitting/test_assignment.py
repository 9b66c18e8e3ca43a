import numpy as np
import pytest

from kd_tf.data.sources.source import Examples
from kd_tf.data.splitting.assignment import (
    SPLITS,
    SplitSettings,
    assign,
    check_apart,
    find_leaks,
)


def split(names, seed=0, has_test=False, **cut):
    """{split: set of the numbers of its examples}."""
    count = names if isinstance(names, int) else len(names)
    names = None if isinstance(names, int) else names
    rank = np.random.default_rng(seed).permutation(count)
    examples = Examples(count, None, names)
    split_of = assign(examples, SplitSettings(**cut), rank, has_test=has_test)
    assert split_of.shape == (count,)
    return {
        name: set(np.flatnonzero(split_of == number).tolist())
        for number, name in enumerate(SPLITS)
    }


def sizes(parts):
    return [len(parts[name]) for name in SPLITS]


def files(count):
    return [f"{i:04}.png" for i in range(count)]


def test_shares_without_names():
    # 25 of 50 to test; 0.2 * 25 = 5 to validation.
    parts = split(50, test_fraction=0.5, validation_fraction=0.2)
    assert sizes(parts) == [20, 5, 25]


def test_shares_with_a_name_an_example():
    assert sizes(split(files(50), test_fraction=0.5)) == [23, 2, 25]


def test_test_share_is_not_used_where_the_source_has_a_test_part():
    parts = split(50, has_test=True, test_fraction=0.5, validation_fraction=0.2)
    assert sizes(parts) == [40, 10, 0]


def test_who_is_drawn_first_goes_to_test():
    # Ranks: example 2 is first, then 0, 3, 1, 4.
    examples = Examples(5, None, None)
    rank = np.array([1, 3, 0, 2, 4])
    cut = SplitSettings(validation_fraction=0.3, test_fraction=0.4)
    found = assign(examples, cut, rank, has_test=False)
    assert [SPLITS[i] for i in found] == [
        "test",
        "train",
        "test",
        "validation",
        "train",
    ]


@pytest.mark.parametrize("seed", range(5))
def test_tiles_of_one_file_are_never_parted(seed):
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
def test_groups_are_never_parted(group):
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


def test_groups_of_the_sources_own_test_part_are_kept_apart():
    train = Examples(2, None, ["a_1", "b_1"])
    check_apart(train, Examples(1, None, ["c_1"]), "^(.)_")
    with pytest.raises(ValueError, match="shares groups .*Received: b"):
        check_apart(train, Examples(1, None, ["b_2"]), "^(.)_")


def test_name_without_a_group_is_refused():
    with pytest.raises(ValueError, match=r"'_\(b\)_' is found.*: 0_a_0.wav"):
        split(SPEAKERS, group="_(b)_")


def test_patterns_go_before_shares():
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


def test_a_name_that_fits_both_patterns_is_test():
    names = files(10)
    parts = split(names, test_pattern="1", validation_pattern="000[12]")
    assert parts["test"] == {1}
    assert parts["validation"] == {2}


def test_test_pattern_leaves_the_validation_share():
    # 10 of 50 to test by name, 0.25 * 40 to validation by lot.
    parts = split(SPEAKERS, test_pattern="_a_", validation_fraction=0.25)
    assert sizes(parts) == [30, 10, 10]


def test_pattern_and_group_go_together_if_no_group_is_parted():
    cut = {"group": r"_(\w)_", "validation_fraction": 0.25}
    parts = split(SPEAKERS, test_pattern="_a_", **cut)
    assert sizes(parts) == [30, 10, 10]
    with pytest.raises(ValueError, match="A pattern parts a group.* in test"):
        split(SPEAKERS, test_pattern="^0_", **cut)


REFUSED = {
    "no names, group": (9, {"group": "a"}, "have no names.*Received: a"),
    "no names, pattern": (9, {"test_pattern": "b"}, "have no names"),
    "test pattern finds nothing": (
        files(9),
        {"test_pattern": "x"},
        "finds nothing. Allowed: .* such as 0000.png. Received: 'x'",
    ),
    "validation pattern finds nothing": (
        files(9),
        {"validation_pattern": "y"},
        "finds nothing.*Received: 'y'",
    ),
    "test pattern beside a test part": (
        files(9),
        {"test_pattern": "0", "has_test": True},
        "has a test split of its own",
    ),
}


@pytest.mark.parametrize(
    ("names", "cut", "message"), REFUSED.values(), ids=REFUSED
)
def test_cuts_that_cannot_be_made_are_refused(names, cut, message):
    with pytest.raises(ValueError, match=message):
        split(names, **cut)


def leaks(folder, contents, split_of, kept=None):
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    examples = Examples(len(contents), None, list(contents), str(folder))
    if kept is None:
        kept = [True] * len(contents)
    find_leaks(examples, np.array(split_of), np.array(kept))


COPIES = {"a.png": b"one", "b.png": b"two", "copy of a.png": b"one"}


def test_copy_under_another_name_in_another_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="same file is in two") as caught:
        leaks(tmp_path, COPIES, [0, 0, 2])
    assert str(caught.value).endswith(
        "Received: a.png (train) = copy of a.png (test)"
    )


@pytest.mark.parametrize("split_of", [[0, 2, 0], [1, 0, 1]])
def test_copy_in_the_same_split_is_no_leak(tmp_path, split_of):
    leaks(tmp_path, COPIES, split_of)


def test_files_that_were_left_out_do_not_leak(tmp_path):
    leaks(tmp_path, COPIES, [0, 0, 2], kept=[True, True, False])


def test_of_many_leaks_the_first_are_told(tmp_path):
    names = [f"{i:02}" for i in range(13)]
    with pytest.raises(ValueError, match="and 2 more") as caught:
        leaks(tmp_path, dict.fromkeys(names, b"x"), [0] + [2] * 12)
    assert str(caught.value).count(" = ") == 10


def test_examples_without_files_have_no_leaks():
    find_leaks(Examples(2, None), np.array([0, 2]), np.ones(2, bool))
