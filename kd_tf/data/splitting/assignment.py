"""Which example goes into which split: by fraction, by group, by pattern."""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from kd_tf.data.sources.source import Examples
from kd_tf.ranges import Fraction, Pattern

SPLITS = ("train", "validation", "test")
_TRAIN, _VALIDATION, _TEST = range(3)


@dataclasses.dataclass(frozen=True)
class SplitSettings:
    """How the examples are divided into splits.

    A pattern goes before a fraction. Examples out of one file are never
    separated.

    Attributes:
        validation_fraction: Fraction for validation, of the examples that are
            not for test.
        test_fraction: Fraction for test; used only where the source has no
            test part.
        group: Regular expression whose match in a name (its first group, if
            it has one) is what must stay in one split: a speaker, a scene.
        validation_pattern: Names in which this regular expression is found
            are for validation.
        test_pattern: Names in which this regular expression is found are for
            test.
    """

    validation_fraction: Fraction = 0.1
    test_fraction: Fraction = 0.2
    group: Pattern | None = None
    validation_pattern: Pattern | None = None
    test_pattern: Pattern | None = None


def assign(
    examples: Examples,
    settings: SplitSettings,
    *,
    rank: np.ndarray,
    has_test: bool,
) -> np.ndarray:
    """Decides on the split of every example.

    Args:
        examples: `Examples` N.
        settings: `SplitSettings`.
        rank: Permutation of range(N): which examples are drawn first.
        has_test: Whether the source holds out a test part of its own.

    Returns:
        Int array (N,) of numbers of `SPLITS`.

    Raises:
        ValueError: if there are no names for a pattern or a group, or no name
            matches.
    """
    _check(examples, settings, has_test)
    names = examples.names or []
    units = _units(examples, settings.group, rank)
    split_of = np.full(examples.count, _TRAIN)
    if settings.test_pattern:
        split_of[_matches(settings.test_pattern, names)] = _TEST
    elif not has_test:
        _draw(split_of, units, settings.test_fraction, _TEST)
    if settings.validation_pattern:
        is_match = _matches(settings.validation_pattern, names)
        split_of[is_match & (split_of == _TRAIN)] = _VALIDATION
    else:
        _draw(split_of, units, settings.validation_fraction, _VALIDATION)
    if settings.group:
        _check_groups(names, units, split_of)
    return split_of


def group_of(name: str, group: str) -> str:
    """Finds the group in a name.

    Args:
        name: Name of an example.
        group: Regular expression, as of `SplitSettings`.

    Raises:
        ValueError: if it is not found.
    """
    match = re.search(group, name)
    if match is None:
        raise ValueError(
            f"A name belongs to no group: `group` '{group}' must be found in "
            f"every name. Received: {name}"
        )
    return match.group(1) if match.re.groups else match.group(0)


def _check(examples: Examples, settings: SplitSettings, has_test: bool) -> None:
    patterns = (
        settings.group,
        settings.validation_pattern,
        settings.test_pattern,
    )
    if examples.names is None and any(patterns):
        raise ValueError(
            "The examples have no names to search for patterns; use "
            "`validation_fraction` and `test_fraction`. Received: "
            + ", ".join(pattern for pattern in patterns if pattern)
        )
    if has_test and settings.test_pattern:
        raise ValueError(
            "The source has a test split of its own; leave out "
            f"`test_pattern`. Received: '{settings.test_pattern}'"
        )


def _units(
    examples: Examples, group: str | None, rank: np.ndarray
) -> np.ndarray:
    """Int (N,): rank of the file or group that each example stays with."""
    if examples.names is None:
        return rank
    first: dict[str, int] = {}
    unit_of = []
    for i, name in enumerate(examples.names):
        key = group_of(name, group) if group else name
        unit_of.append(first.setdefault(key, i))
    # A group is as early as the example that names it first.
    return rank[unit_of]


def _check_groups(
    names: Sequence[str], units: np.ndarray, split_of: np.ndarray
) -> None:
    split_of_unit: dict[int, int] = {}
    for name, unit, split in zip(names, units, split_of, strict=True):
        other = split_of_unit.setdefault(unit, split)
        if split != other:
            raise ValueError(
                "A pattern separates a group: `test_pattern` and "
                "`validation_pattern` must find all of a `group` or nothing "
                f"of it. Received: {name} in {SPLITS[split]}, others of its "
                f"group in {SPLITS[other]}"
            )


def _matches(pattern: str, names: Sequence[str]) -> np.ndarray:
    """Bool (N,): in which names the pattern is found."""
    is_match = np.array([bool(re.search(pattern, name)) for name in names])
    if not is_match.any():
        raise ValueError(
            "A pattern is found in no name; names are such as "
            f"{names[0]}. Received: '{pattern}'"
        )
    return is_match


def _draw(
    split_of: np.ndarray, units: np.ndarray, fraction: float, split: int
) -> None:
    """Takes units in order of their rank until the fraction is reached."""
    free = split_of == _TRAIN
    needed = round(fraction * free.sum())
    sizes = np.bincount(units[free], minlength=units.max(initial=-1) + 1)
    before = np.cumsum(sizes) - sizes
    taken = np.flatnonzero((before < needed) & (sizes > 0))
    split_of[free & np.isin(units, taken)] = split
