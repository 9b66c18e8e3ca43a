"""Files of a folder, read a few at a time; bad ones are told by name."""

import concurrent.futures
import functools
import itertools
import os
import re

import numpy as np

from kd_tf.data.sources.source import Examples

_WORKERS = min(4, os.cpu_count() or 1)
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
RECORDINGS = (".flac", ".wav")


class BadFile(ValueError):
    """A file that cannot be used, and why."""


def list_files(folder, endings):
    """Paths below a folder, sorted, with `/` between their parts.

    Args:
        folder: The folder; hidden files and folders in it are passed over.
        endings: Tuple of the endings wanted, in small letters.

    Raises:
        ValueError: if there are none.
    """
    names = []
    for here, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            if file.lower().endswith(endings) and not file.startswith("."):
                path = os.path.relpath(os.path.join(here, file), folder)
                names.append(path.replace(os.sep, "/"))
    if not names:
        raise ValueError(
            f"{folder} holds nothing to read. Allowed: files ending in "
            f"{', '.join(endings)}, in folders as deep as you like. Received: "
            + ("none of them" if os.path.isdir(folder) else "no such folder")
        )
    return sorted(names)


def class_of(name, pattern=None):
    """Class in a path: its folder, or what a pattern finds.

    Args:
        name: Path with `/` between its parts.
        pattern: Regular expression with one group, or None.

    Raises:
        BadFile: if the path has no class.
    """
    if pattern is None:
        folder = name.rpartition("/")[0]
        if not folder:
            raise BadFile("lies in no folder that would name its class")
        return folder.rpartition("/")[2]
    match = re.search(pattern, name)
    if match is None or not match.re.groups or match.group(1) is None:
        raise BadFile(f"label_pattern '{pattern}' finds no class in its name")
    return match.group(1)


def classify_files(names, pattern, problems):
    """Classes by name, and the files that have one.

    Returns:
        Sorted class names; dict from file to class number. Files without a
        class go to `problems`.
    """
    found = {}
    for name in names:
        try:
            found[name] = class_of(name, pattern)
        except BadFile as error:
            problems.append((name, str(error)))
    classes = sorted(set(found.values()))
    if len(classes) < 2:
        raise ValueError(
            "The files have too few classes. Allowed: at least 2, one folder "
            "a class, or data.label_pattern with one group. Received: "
            f"{', '.join(classes) or 'none'}"
        )
    numbers = {label: number for number, label in enumerate(classes)}
    return classes, {name: numbers[label] for name, label in found.items()}


def one_a_file(folder, names, read, problems):
    """`Examples` of files that hold one each.

    Args:
        folder: Where they lie.
        names: The files, as paths below it.
        read: File -> (x (1, ...), y (1, ...)); raises `BadFile`.
        problems: List that the bad ones are appended to.
    """
    chunks = functools.partial(
        read_in_order, names, [1] * len(names), read, problems
    )
    return Examples(len(names), chunks, names, folder)


def read_in_order(names, counts, read, problems):
    """Reads files ahead on a few threads and yields them in their order.

    Args:
        names: The files.
        counts: How many examples each is expected to hold.
        read: File -> (x (n, ...), y (n, ...)); raises `BadFile`.
        problems: List that the bad ones are appended to.

    Yields:
        (numbers, x, y) of every good file.
    """
    starts = np.cumsum([0, *counts])
    with concurrent.futures.ThreadPoolExecutor(_WORKERS) as pool:
        files = iter(zip(names, starts, strict=False))
        ahead = [
            (name, start, pool.submit(read, name))
            for name, start in itertools.islice(files, _WORKERS + 1)
        ]
        while ahead:
            name, start, future = ahead.pop(0)
            for following, its_start in itertools.islice(files, 1):
                task = pool.submit(read, following)
                ahead.append((following, its_start, task))
            try:
                x, y = future.result()
            except BadFile as error:
                problems.append((name, str(error)))
            else:
                yield np.arange(start, start + len(x)), x, y
