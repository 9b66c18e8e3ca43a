"""Files of a folder: listing, classes by path, reading ahead in order."""

import concurrent.futures
import functools
import itertools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from kd_tf.data.sources.source import Chunks, Examples, InvalidData, Problems

_WORKERS = min(4, os.cpu_count() or 1)
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
RECORDINGS = (".flac", ".wav")


def list_files(folder: str, endings: tuple[str, ...]) -> list[str]:
    """Lists the files below a folder, sorted, with `/` between their parts.

    Args:
        folder: The folder; hidden files and folders in it are left out.
        endings: Endings of the files to list, in lower case.

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
        is_there = os.path.isdir(folder)
        raise ValueError(
            f"There are no files to read in {folder}. It must hold files "
            f"ending in {', '.join(endings)}, in folders of any depth. "
            "Received: "
            + ("a folder without such files" if is_there else "no such folder")
        )
    return sorted(names)


def class_of(name: str, label_pattern: str | None = None) -> str:
    """Finds the class in a path: its folder, or the match of a pattern.

    Args:
        name: Path with `/` between its parts.
        label_pattern: Regular expression with one group, or None.

    Raises:
        InvalidData: if the path has no class.
    """
    if label_pattern is None:
        folder = name.rpartition("/")[0]
        if not folder:
            raise InvalidData("is in no folder that could name its class")
        return folder.rpartition("/")[2]
    match = re.search(label_pattern, name)
    if match is None or not match.re.groups or match.group(1) is None:
        raise InvalidData(
            f"label_pattern '{label_pattern}' finds no class in its path"
        )
    return match.group(1)


def classify_files(
    names: Iterable[str], label_pattern: str | None, *, problems: Problems
) -> tuple[list[str], dict[str, int]]:
    """Finds the class of every file.

    Args:
        names: Paths with `/` between their parts.
        label_pattern: Regular expression with one group, or None.
        problems: List that files without a class are appended to.

    Returns:
        Sorted class names; {file: class number} of files that have one.

    Raises:
        ValueError: if there are fewer than 2 classes.
    """
    label_of = {}
    for name in names:
        try:
            label_of[name] = class_of(name, label_pattern)
        except InvalidData as error:
            problems.append((name, str(error)))
    classes = sorted(set(label_of.values()))
    if len(classes) < 2:
        raise ValueError(
            "The files have too few classes. At least 2 are needed: one "
            "folder for each class, or a `label_pattern` with one group. "
            f"Received: {', '.join(classes) or 'none'}"
        )
    numbers = {label: number for number, label in enumerate(classes)}
    return classes, {name: numbers[label] for name, label in label_of.items()}


def one_example_per_file(
    folder: str,
    names: list[str],
    *,
    read: Callable[[str], tuple[np.ndarray, np.ndarray]],
    problems: Problems,
) -> Examples:
    """Makes `Examples` of files that hold one each.

    Args:
        folder: The folder of the files.
        names: The files, as paths below it.
        read: File -> (x (1, ...), y (1, ...)); raises `InvalidData`.
        problems: List that invalid files are appended to.
    """
    chunks = functools.partial(
        read_in_order, names, [1] * len(names), read=read, problems=problems
    )
    return Examples(len(names), chunks, names, folder)


def read_in_order(
    names: Sequence[Any],
    counts: Sequence[int],
    *,
    read: Callable[[Any], tuple[np.ndarray, np.ndarray]],
    problems: Problems,
) -> Chunks:
    """Reads files ahead on a few threads and yields them in their order.

    Args:
        names: The files.
        counts: How many examples each is expected to hold.
        read: File -> (x (n, ...), y (n, ...)); raises `InvalidData`.
        problems: List that invalid files are appended to.

    Yields:
        (numbers, x, y) of every valid file.
    """
    starts = np.cumsum([0, *counts])
    with concurrent.futures.ThreadPoolExecutor(_WORKERS) as pool:
        files = iter(zip(names, starts, strict=False))
        # A queue of fixed length: reading must not run away from training.
        ahead = [
            (name, start, pool.submit(read, name))
            for name, start in itertools.islice(files, _WORKERS + 1)
        ]
        while ahead:
            name, start, future = ahead.pop(0)
            for next_name, next_start in itertools.islice(files, 1):
                ahead.append(
                    (next_name, next_start, pool.submit(read, next_name))
                )
            try:
                x, y = future.result()
            except InvalidData as error:
                problems.append((name, str(error)))
            else:
                yield np.arange(start, start + len(x)), x, y
