"""A picture of a test image, its mask, and the masks that models predict.

Shapes: H and W of the image, C classes.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kd_tf.reporting.pictures import (
    WIDTH,
    Picture,
    aspect,
    canvas,
    picture,
    show_image,
    styled,
)
from kd_tf.reporting.shown import Shown, example_name
from kd_tf.tasks.task import IGNORED

_COLUMNS = 3
_IGNORED_COLOR = (0.6, 0.6, 0.6)
_LONGEST = 20  # letters of a class name in the legend


@styled
def mask_picture(
    shown: Shown,
    n: int,
    *,
    class_names: Sequence[str],
    palette: Sequence[tuple[int, int, int]] | None,
) -> Picture:
    """Draws an image, its mask, where the file is wrong, and all masks.

    Args:
        shown: Examples, with class numbers (N, H, W) as targets and outputs;
            pixels that are `IGNORED` are gray.
        n: Which of them, from 0.
        class_names: C names.
        palette: C colors (red, green, blue), up to 255, or None.
    """
    target = shown.targets[n]
    masks = {title: outputs[n] for title, outputs in shown.outputs.items()}
    titles = [f"{title}{_scores(target, masks[title])}" for title in masks]
    colors = _colors(palette, len(class_names))
    figure, axes = _grid(3 + len(masks), target)
    show_image(axes[0], shown.x[n])
    axes[0].set_title(f"{shown.numbers[n]} of the test split", fontsize=7)
    _show_mask(axes[1], target, colors, title="truth")
    _show_mistakes(axes[2], target, [*masks.values()][-1])
    # The grid may have an axis or two to spare.
    for axis, title, mask in zip(
        axes[3:], titles, masks.values(), strict=False
    ):
        _show_mask(axis, mask, colors, title=title)
    present = np.unique([target, *masks.values()])
    _legend(figure, present[present != IGNORED], class_names, colors)
    alt = (
        f"Test image {shown.numbers[n]}, its truth, {', '.join(titles)}, and "
        "where the file is wrong."
    )
    return picture(figure, example_name(n), alt.replace("\n", " "))


def _grid(count: int, mask: np.ndarray) -> tuple[Figure, list[Axes]]:
    num_rows = -(-count // _COLUMNS)
    figure, axes = canvas(
        height=(0.3 * WIDTH * aspect(mask) + 0.4) * num_rows + 0.5,
        nrows=num_rows,
        ncols=_COLUMNS,
        squeeze=False,
    )
    for axis in axes.flat:
        axis.axis("off")
    return figure, [*axes.flat]


def _show_mask(
    axis: Axes, mask: np.ndarray, colors: np.ndarray, *, title: str
) -> None:
    numbers = np.where(mask == IGNORED, len(colors), mask)
    painted = np.concatenate([colors, [_IGNORED_COLOR]])[numbers]
    axis.imshow(painted, interpolation="nearest")
    axis.set_title(title, fontsize=7)


def _show_mistakes(
    axis: Axes, target: np.ndarray, predicted: np.ndarray
) -> None:
    is_wrong = (target != IGNORED) & (predicted != target)
    axis.imshow(
        np.where(is_wrong, 0.0, 1.0),
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    axis.set_title("wrong in .tflite: black", fontsize=7)


def _scores(target: np.ndarray, predicted: np.ndarray) -> str:
    """Of one image, in words; of classes that occur in it alone."""
    from sklearn.metrics import jaccard_score

    counts = target != IGNORED
    if not counts.any():
        return ""
    right = np.mean(target[counts] == predicted[counts])
    iou = jaccard_score(target[counts], predicted[counts], average="macro")
    return f"\nIoU {iou:.2f}, {100 * right:.0f} % of pixels"


def _legend(
    figure: Figure,
    classes: np.ndarray,
    class_names: Sequence[str],
    colors: np.ndarray,
) -> None:
    patches = [
        Patch(
            facecolor=colors[c],
            edgecolor="0.5",
            label=str(class_names[c])[:_LONGEST],
        )
        for c in classes
    ]
    figure.legend(
        handles=patches, ncols=4, fontsize=7, loc="outside lower center"
    )


def _colors(
    palette: Sequence[tuple[int, int, int]] | None, num_classes: int
) -> np.ndarray:
    """Float (C, 3), up to 1."""
    if palette is not None:
        return np.asarray(palette, float) / 255
    if num_classes <= 20:
        colors = matplotlib.color_sequences["tab20"]
        # Strong ones first, pale ones after.
        return np.array([*colors[::2], *colors[1::2]])[:num_classes]
    return matplotlib.colormaps["turbo"](np.linspace(0, 1, num_classes))[:, :3]
