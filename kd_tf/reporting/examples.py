"""Pictures of test examples and of what models predict for them.

Shapes: N examples, H and W of an image, S samples of a recording, C classes
or values.
"""

from collections.abc import Sequence

import numpy as np

from kd_tf.reporting.masks import mask_picture
from kd_tf.reporting.pictures import (
    NARROW,
    Picture,
    aspect,
    canvas,
    picture,
    show_image,
    styled,
)
from kd_tf.reporting.shown import Shown, example_name
from kd_tf.tasks.task import Task

_LONGEST = 34  # letters under a narrow picture
_WINDOW = 256  # samples of one column of a spectrogram


def example_pictures(
    shown: Shown,
    task: Task,
    *,
    class_names: Sequence[str],
    palette: Sequence[tuple[int, int, int]] | None = None,
    sample_rate: int | None = None,
) -> list[Picture]:
    """Draws examples, if they are of a kind that can be seen.

    Args:
        shown: Examples, targets and outputs.
        task: Describes targets and outputs.
        class_names: C names.
        palette: C colors (red, green, blue), up to 255, or None.
        sample_rate: Of recordings, in hertz, else None.

    Returns:
        One `Picture` for each example, or none.
    """
    numbers = range(len(shown.x))
    if shown.targets.ndim == 3:
        return [
            mask_picture(shown, n, class_names=class_names, palette=palette)
            for n in numbers
        ]
    lines = [_lines(shown, n, task, class_names) for n in numbers]
    if sample_rate is not None:
        return [_recording(shown, n, lines[n], sample_rate) for n in numbers]
    if shown.x.ndim == 4:
        return [_image(shown, n, lines[n]) for n in numbers]
    return []


@styled
def _image(shown: Shown, n: int, lines: Sequence[str]) -> Picture:
    height = 0.95 * NARROW * aspect(shown.x[n]) + 0.17 * len(lines) + 0.15
    figure, axis = canvas(width=NARROW, height=height)
    show_image(axis, shown.x[n])
    axis.set(xticks=(), yticks=())
    axis.grid(visible=False)
    axis.set_title(lines[0], fontsize=8, weight="bold")
    axis.set_xlabel("\n".join(lines[1:]), fontsize=7)
    return picture(figure, example_name(n), _alt("image", shown, n, lines))


@styled
def _recording(
    shown: Shown, n: int, lines: Sequence[str], sample_rate: int
) -> Picture:
    figure, axis = canvas(height=2.2 + 0.15 * len(lines))
    samples = shown.x[n].reshape(-1).astype("float32")
    window = min(_WINDOW, len(samples))
    # A trace of noise, so that silence has a logarithm.
    noise = np.random.default_rng(n).normal(size=len(samples))
    axis.specgram(
        samples + noise,
        NFFT=window,
        noverlap=window // 2,
        Fs=sample_rate / 1000,
        xextent=(0, len(samples) / sample_rate),
        cmap="magma",
    )
    axis.grid(visible=False)
    axis.set_ylabel("kHz")
    axis.set_title(lines[0], fontsize=9, weight="bold")
    axis.set_xlabel("\n".join(["seconds", *lines[1:]]), fontsize=8)
    alt = _alt("recording, its spectrogram", shown, n, lines)
    return picture(figure, example_name(n), alt)


def _alt(what: str, shown: Shown, n: int, lines: Sequence[str]) -> str:
    return f"Test {what}, number {shown.numbers[n]}: {'; '.join(lines)}."


def _lines(
    shown: Shown, n: int, task: Task, class_names: Sequence[str]
) -> list[str]:
    """Target and outputs of one example, a line each."""
    target = task.describe_target(shown.targets[n], class_names)
    lines = [
        f"truth: {target}",
        *(
            f"{title}: {task.describe_output(outputs[n], class_names)}"
            for title, outputs in shown.outputs.items()
        ),
    ]
    return [s if len(s) <= _LONGEST else f"{s[: _LONGEST - 1]}…" for s in lines]
