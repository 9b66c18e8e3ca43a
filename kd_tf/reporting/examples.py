"""Test examples and what is made of them.

Shapes: N examples, H and W of an image, S samples of a recording, C classes
or values.
"""

import dataclasses

import matplotlib
import numpy as np

from kd_tf.reporting.pictures import NARROW, WIDTH, canvas, picture, styled
from kd_tf.tasks import IGNORED, TASKS

_MOST_NAMES = 4
_LONGEST = 34  # letters under a narrow picture
_WINDOW = 256  # samples of one column of a spectrogram
_COLUMNS = 3


@dataclasses.dataclass(frozen=True)
class Shown:
    """A few examples with their truth and several models' answers.

    Attributes:
        x: Raw examples (N, ...).
        truth: Targets (N, ...).
        numbers: Their numbers in the test split (N,).
        answers: {what answered, in words: answers (N, ...)}.
    """

    x: np.ndarray
    truth: np.ndarray
    numbers: np.ndarray
    answers: dict


def example_pictures(shown, task, class_names, palette, sample_rate):
    """Pictures of examples, if they are of a kind that can be seen.

    Args:
        shown: `Shown`; of pixels the answers are class numbers (N, H, W),
            of anything else raw, (N, C).
        task: Name of `kd_tf.tasks.TASKS`.
        class_names: C names.
        palette: C colours (red, green, blue), up to 255, or None.
        sample_rate: Hertz, or None for what is no sound.

    Returns:
        List of `Picture`.
    """
    numbers = range(len(shown.x))
    if TASKS[task].per_pixel:
        colors = _colors(palette, len(class_names))
        return [_segmented(shown, n, class_names, colors) for n in numbers]
    lines = [_lines(shown, n, task, class_names) for n in numbers]
    if sample_rate is not None:
        return [_recording(shown, n, lines[n], sample_rate) for n in numbers]
    if shown.x.ndim == 4:
        return [_image(shown, n, lines[n]) for n in numbers]
    return []


@styled
def _segmented(shown, n, class_names, colors):
    truth = shown.truth[n]
    asked = truth != IGNORED
    *_, file = shown.answers.values()
    wrong = np.where(asked & (file[n] != truth), 0.0, 1.0)
    count = 3 + len(shown.answers)
    rows = -(-count // _COLUMNS)
    figure, axes = canvas(
        height=(0.3 * WIDTH * _aspect(truth) + 0.4) * rows + 0.5,
        nrows=rows,
        ncols=_COLUMNS,
        squeeze=False,
    )
    for axis in axes.flat:
        axis.axis("off")
    image, label, mistakes, *rest = axes.flat
    _show_image(image, shown.x[n])
    image.set_title(f"{shown.numbers[n]} of the test split", fontsize=7)
    label.imshow(_painted(truth, colors), interpolation="nearest")
    label.set_title("truth", fontsize=7)
    mistakes.imshow(wrong, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    mistakes.set_title("wrong in .tflite: black", fontsize=7)
    said = []
    for axis, (title, found) in zip(rest, shown.answers.items(), strict=False):
        axis.imshow(_painted(found[n], colors), interpolation="nearest")
        said.append(f"{title}{_image_scores(truth, found[n])}")
        axis.set_title(said[-1], fontsize=7)
    present = np.unique(
        [truth, *(found[n] for found in shown.answers.values())]
    )
    _legend(figure, [c for c in present if c != IGNORED], class_names, colors)
    alt = (
        f"Test image {shown.numbers[n]}, its truth, {', '.join(said)}, and "
        "where the file is wrong."
    ).replace("\n", " ")
    return picture(figure, f"example_{n + 1:02}", alt)


def _image_scores(truth, answer):
    """Of one image, in words; of classes that occur in it alone."""
    from sklearn.metrics import jaccard_score

    asked = truth != IGNORED
    if not asked.any():
        return ""
    right = np.mean(truth[asked] == answer[asked])
    iou = jaccard_score(truth[asked], answer[asked], average="macro")
    return f"\nIoU {iou:.2f}, {100 * right:.0f} % of pixels"


def _legend(figure, classes, class_names, colors):
    patches = [
        matplotlib.patches.Patch(
            facecolor=colors[c],
            edgecolor="0.5",
            label=str(class_names[c])[:20],
        )
        for c in classes
    ]
    figure.legend(
        handles=patches, ncols=4, fontsize=7, loc="outside lower center"
    )


def _colors(palette, num_classes):
    if palette is not None:
        return np.asarray(palette, float) / 255
    if num_classes <= 20:
        colors = matplotlib.colormaps["tab20"].colors
        # Strong ones first, pale ones after.
        return np.array([*colors[::2], *colors[1::2]])[:num_classes]
    return matplotlib.colormaps["turbo"](np.linspace(0, 1, num_classes))[:, :3]


def _painted(classes, colors):
    """Class numbers (H, W) -> colours (H, W, 3); grey where none is asked."""
    numbers = np.where(classes == IGNORED, len(colors), classes)
    return np.concatenate([colors, [(0.6, 0.6, 0.6)]])[numbers]


def _aspect(image):
    """Height over width, within what a page can show."""
    return float(np.clip(image.shape[0] / image.shape[1], 0.25, 2.5))


def _show_image(axis, image):
    if image.ndim == 3 and image.shape[-1] != 3:
        image = image[..., 0]
    # Bytes are as they are; anything else from its least to its greatest.
    if image.ndim == 3 and image.dtype != np.uint8:
        spread = np.ptp(image) or 1
        image = (image - image.min()) / spread
    axis.imshow(image, cmap="gray", interpolation="nearest")


@styled
def _image(shown, n, lines):
    height = 0.95 * NARROW * _aspect(shown.x[n]) + 0.17 * len(lines) + 0.15
    figure, axis = canvas(width=NARROW, height=height)
    _show_image(axis, shown.x[n])
    axis.set(xticks=(), yticks=())
    axis.grid(visible=False)
    axis.set_title(lines[0], fontsize=8, weight="bold")
    axis.set_xlabel("\n".join(lines[1:]), fontsize=7)
    return picture(
        figure, f"example_{n + 1:02}", _alt("image", shown, n, lines)
    )


@styled
def _recording(shown, n, lines, sample_rate):
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
    return picture(figure, f"example_{n + 1:02}", alt)


def _alt(what, shown, n, lines):
    return f"Test {what}, number {shown.numbers[n]}: {'; '.join(lines)}."


def _lines(shown, n, task, class_names):
    """Truth and answers of one example, a line each."""
    said = {
        title: _answer(found[n], task, class_names)
        for title, found in shown.answers.items()
    }
    lines = [f"truth: {_truth(shown.truth[n], task, class_names)}"]
    lines.extend(f"{title}: {text}" for title, text in said.items())
    return [s if len(s) <= _LONGEST else f"{s[: _LONGEST - 1]}…" for s in lines]


def _truth(target, task, class_names):
    if TASKS[task].has_values:
        return _values(target)
    if task == "multilabel":
        return _names(np.asarray(target) > 0, class_names)
    label = int(target)
    return str(class_names[label]) if label >= 0 else "no label"


def _answer(answer, task, class_names):
    kind = TASKS[task]
    if kind.has_values:
        return _values(answer)
    if task == "multilabel":
        return _names(kind.decide(answer), class_names)
    probabilities = kind.probabilities(answer)
    best = int(probabilities.argmax())
    return f"{class_names[best]} {probabilities[best]:.2f}"


def _values(values):
    few = np.ravel(values)[:_MOST_NAMES]
    return ", ".join(f"{value:.4g}" for value in few)


def _names(yes, class_names):
    return ", ".join(str(class_names[c]) for c in np.flatnonzero(yes)) or "none"
