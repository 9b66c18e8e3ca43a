"""Leaks: the same file, or the same group, in two splits."""

import collections
import hashlib
import os
from collections.abc import Mapping, Sequence

import numpy as np

from kd_tf.data.sources.source import Examples
from kd_tf.data.splitting.assignment import SPLITS, group_of

_LISTED = 10


def check_apart(train: Examples, test: Examples, *, group: str) -> None:
    """Checks that the source's own test part shares no group with the rest.

    Args:
        train: `Examples` with names.
        test: `Examples`, with names too.
        group: Regular expression, as of `SplitSettings`.

    Raises:
        ValueError: if a group is in both.
    """
    groups = [
        {group_of(name, group) for name in examples.names or ()}
        for examples in (train, test)
    ]
    shared = sorted(groups[0] & groups[1])
    if shared:
        raise ValueError(
            "The source's own test split shares groups with the rest; leave "
            "out `group`, or choose one that the source keeps apart. "
            f"Received: {', '.join(shared[:_LISTED])}"
        )


def find_leaks(
    examples: Examples, split_of: np.ndarray, *, kept: np.ndarray
) -> None:
    """Checks that no file is in two splits, by its content.

    Args:
        examples: `Examples` N.
        split_of: Int array (N,) of numbers of `SPLITS`.
        kept: Bool array (N,): which examples are valid. Invalid files may
            well be alike: truncated to zero bytes, all the same error page.

    Raises:
        ValueError: if a file is, and which.
    """
    folder, names = examples.folder, examples.names
    if folder is None or names is None:
        return
    split_of_file = {names[i]: int(split_of[i]) for i in np.flatnonzero(kept)}
    # Files of different sizes need not be read.
    by_size = collections.defaultdict(list)
    for name in split_of_file:
        by_size[os.path.getsize(os.path.join(folder, name))].append(name)
    leaks = []
    for alike in by_size.values():
        if len({split_of_file[name] for name in alike}) > 1:
            leaks += _same_content(folder, alike, split_of_file)
    if leaks:
        more = len(leaks) - _LISTED
        raise ValueError(
            "The same file is in two splits; keep one of its copies, or give "
            "a `group` that holds all of them. Received: "
            + "; ".join(leaks[:_LISTED])
            + (f"; and {more} more" if more > 0 else "")
        )


def _same_content(
    folder: str, names: Sequence[str], split_of_file: Mapping[str, int]
) -> list[str]:
    first: dict[bytes, str] = {}
    leaks = []
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
