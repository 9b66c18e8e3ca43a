"""Which example goes into which split: by share, by group, by pattern."""

import collections
import dataclasses
import hashlib
import os
import re

import numpy as np

SPLITS = ("train", "validation", "test")
_TRAIN, _VALIDATION, _TEST = range(3)


@dataclasses.dataclass(frozen=True)
class SplitSettings:
    """How the examples are cut into splits.

    A pattern goes before a share. Examples out of one file are never parted.

    Attributes:
        validation_fraction: Share of what is not test to choose by, in (0, 1).
        test_fraction: Share to report on, in (0, 1); used only where the source
            has no test part.
        group: Regular expression whose match in a name (its first group, if
            it has one) is what must not be parted: a speaker, a scene.
        validation_pattern: Names in which this regular expression is found
            are validation.
        test_pattern: The same for test.
    """

    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    group: str | None = None
    validation_pattern: str | None = None
    test_pattern: str | None = None


def assign(examples, cut, rank, *, has_test):
    """Decides on the split of every example.

    Args:
        examples: `Examples` N.
        cut: `SplitSettings`.
        rank: Permutation of range(N): who is drawn first.
        has_test: Whether the source holds out a test part of its own.

    Returns:
        Int array (N,) of numbers of `SPLITS`.

    Raises:
        ValueError: if names are asked for that there are not, or no name fits
            a pattern.
    """
    names = examples.names
    patterns = (cut.group, cut.validation_pattern, cut.test_pattern)
    if names is None and any(patterns):
        raise ValueError(
            "The examples have no names to look for patterns in. Allowed: "
            "data.validation_fraction and data.test_fraction. Received: "
            + ", ".join(pattern for pattern in patterns if pattern)
        )
    if has_test and cut.test_pattern:
        raise ValueError(
            "The source has a test split of its own. Allowed: no "
            f"data.test_pattern. Received: '{cut.test_pattern}'"
        )
    units = _units(names, cut.group, rank)
    split_of = np.full(examples.count, _TRAIN)
    if cut.test_pattern:
        split_of[_found(cut.test_pattern, names)] = _TEST
    elif not has_test:
        _draw(split_of, units, cut.test_fraction, _TEST)
    if cut.validation_pattern:
        found = _found(cut.validation_pattern, names)
        split_of[found & (split_of == _TRAIN)] = _VALIDATION
    else:
        _draw(split_of, units, cut.validation_fraction, _VALIDATION)
    if cut.group:
        _check_groups(names, units, split_of)
    return split_of


def check_apart(train, test, group):
    """Refuses groups that the source's own test part shares with the rest.

    Args:
        train: `Examples` with names.
        test: `Examples`, with names too.
        group: Regular expression, as of a `SplitSettings`.

    Raises:
        ValueError: if there is one.
    """
    groups = [
        {_group_of(name, group) for name in examples.names}
        for examples in (train, test)
    ]
    shared = sorted(groups[0] & groups[1])
    if shared:
        raise ValueError(
            "The source's own test split shares groups with the rest. "
            "Allowed: no data.group, or one that the source has kept apart. "
            f"Received: {', '.join(shared[:10])}"
        )


def find_leaks(examples, split_of, kept):
    """Looks for the same file, by content, in two splits.

    Args:
        examples: `Examples` N.
        split_of: Int array (N,) of numbers of `SPLITS`.
        kept: Bool array (N,): which examples were good. Bad files may well
            be alike: cut off at zero bytes, all the same error page.

    Raises:
        ValueError: if there is one, and which.
    """
    if examples.folder is None:
        return
    split_of_file = {
        examples.names[i]: int(split_of[i]) for i in np.flatnonzero(kept)
    }
    by_size = collections.defaultdict(list)
    for name in split_of_file:
        path = os.path.join(examples.folder, name)
        by_size[os.path.getsize(path)].append(name)
    leaks = []
    for names in by_size.values():
        if len({split_of_file[name] for name in names}) > 1:
            leaks += _same_content(examples.folder, names, split_of_file)
    if leaks:
        raise ValueError(
            "The same file is in two splits. Allowed: every file once, or its "
            "copies in one group (data.group). Received: "
            + "; ".join(leaks[:10])
            + (f"; and {len(leaks) - 10} more" if len(leaks) > 10 else "")
        )


def _same_content(folder, names, split_of_file):
    first, leaks = {}, []
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            digest = hashlib.sha256(file.read()).digest()
        other = first.setdefault(digest, name)
        if split_of_file[other] != split_of_file[name]:
            leaks.append(
                f"{other} ({SPLITS[split_of_file[other]]}) = "
                f"{name} ({SPLITS[split_of_file[name]]})"
            )
    return leaks


def _units(names, group, rank):
    """Rank of what each example belongs to, and must not be parted from."""
    if names is None:
        return rank
    first, unit_of = {}, []
    for i, name in enumerate(names):
        key = _group_of(name, group) if group else name
        unit_of.append(first.setdefault(key, i))
    # A group is as early as the example that names it first.
    return rank[unit_of]


def _group_of(name, group):
    match = re.search(group, name)
    if match is None:
        raise ValueError(
            "A name belongs to no group. Allowed: names in which "
            f"data.group '{group}' is found. Received: {name}"
        )
    return match.group(1) if match.re.groups else match.group(0)


def _check_groups(names, units, split_of):
    split_of_unit = {}
    for name, unit, split in zip(names, units, split_of, strict=True):
        other = split_of_unit.setdefault(unit, split)
        if split != other:
            raise ValueError(
                "A pattern parts a group. Allowed: data.test_pattern and "
                "data.validation_pattern that find all of a data.group or "
                f"nothing of it. Received: {name} in {SPLITS[split]}, others "
                f"of its group in {SPLITS[other]}"
            )


def _found(pattern, names):
    found = np.array([bool(re.search(pattern, name)) for name in names])
    if not found.any():
        raise ValueError(
            "A pattern finds nothing. Allowed: a regular expression found in "
            f"some name, such as {names[0]}. Received: '{pattern}'"
        )
    return found


def _draw(split_of, units, share, split):
    """Takes units in order of their rank until the share is reached."""
    free = split_of == _TRAIN
    wanted = round(share * free.sum())
    sizes = np.bincount(units[free], minlength=units.max(initial=-1) + 1)
    before = np.cumsum(sizes) - sizes
    taken = np.flatnonzero((before < wanted) & (sizes > 0))
    split_of[free & np.isin(units, taken)] = split
