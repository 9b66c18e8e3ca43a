"""Curves and pictures, as SVG text to put into a page."""

import io

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

_STYLE = {
    # The same picture is the same text.
    "svg.hashsalt": "kd_tf",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def curves(history, title):
    """Loss and accuracy over the epochs of one stage.

    Args:
        history: List of dicts, one an epoch, as Keras logs them.
        title: Name of the stage.

    Returns:
        SVG text.
    """
    epochs = range(1, len(history) + 1)
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(8, 2.6))
        for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
            for key in history[0]:
                if key.endswith(quantity):
                    values = [logs[key] for logs in history]
                    axis.plot(epochs, values, marker=".", label=key)
            axis.set(title=f"{title}: {quantity}", xlabel="epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.legend(fontsize=7)
        return _svg(figure)


def confusion(counts, class_names, title):
    """Confusion matrix of a file on the test split.

    Args:
        counts: Int array (C, C): label, answer.
        class_names: One name a class.
        title: What answered.

    Returns:
        SVG text.
    """
    num_classes = len(class_names)
    side = float(np.clip(0.42 * num_classes + 1.5, 4, 12))
    with plt.rc_context({**_STYLE, "axes.grid": False}):
        figure, axis = plt.subplots(figsize=(side, side))
        # The diagonal outweighs the errors, which are what one looks for.
        axis.imshow(np.log1p(counts), cmap="Blues")
        axis.set(title=title, xlabel="answered", ylabel="label")
        if num_classes <= 30:
            ticks = range(num_classes)
            axis.set_xticks(ticks, class_names, rotation=90)
            axis.set_yticks(ticks, class_names)
            for (i, j), count in np.ndenumerate(counts):
                if count:
                    dark = np.log1p(count) > np.log1p(counts.max()) / 2
                    color = "white" if dark else "black"
                    axis.text(
                        j, i, count, ha="center", va="center", color=color
                    )
        return _svg(figure)


def tradeoff(rows):
    """Size against accuracy; the area of a point is its latency.

    Args:
        rows: Rows of `result_rows`; those that lack a figure are left out.

    Returns:
        SVG text, or None if no row has all three figures.
    """
    needed = ("bytes", "test_score", "p50_ms")
    rows = [row for row in rows if all(key in row for key in needed)]
    if not rows:
        return None
    slowest = max(row["p50_ms"] for row in rows)
    with plt.rc_context(_STYLE):
        figure, axis = plt.subplots(figsize=(8, 3.6))
        for row in rows:
            label = f"{row['model']}, {row['p50_ms']:.3g} ms"
            axis.scatter(
                row["bytes"] / 1000,
                row["test_score"],
                s=20 + 380 * row["p50_ms"] / slowest,
                alpha=0.6,
                label=label,
            )
        axis.margins(0.15)
        axis.set(xscale="log", xlabel="size, kB", ylabel="test accuracy")
        axis.set_title("Size, accuracy, latency (area)")
        legend = axis.legend(
            fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5)
        )
        for handle in legend.legend_handles:
            handle.set_sizes([30])
        figure.tight_layout()
        return _svg(figure)


def _svg(figure):
    text = io.StringIO()
    unsaid = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", bbox_inches="tight", metadata=unsaid)
    plt.close(figure)
    # Without the XML header, which has no place inside a page.
    return text.getvalue()[text.getvalue().index("<svg") :]
