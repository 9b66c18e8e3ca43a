"""What the answers to the test split are worth, drawn.

Shapes: C classes, T thresholds, N examples, V values. `arrays` are those of
`kd_tf.tasks.scoring`, by row of the table.
"""

import numpy as np

from kd_tf.reporting.pictures import (
    LOOK,
    NARROW,
    WIDTH,
    canvas,
    look,
    picture,
    styled,
)

_FEW = 12  # classes that have a picture of their own
_LEGIBLE = 25  # classes whose names fit around a matrix
_POINTS = 3000


def average_precision(found):
    """Area under every precision-recall curve, without interpolation.

    Args:
        found: Arrays of one row: `precision` and `recall` (C + 1, T).

    Returns:
        Float array (C + 1,), the micro-average last; NaN for classes that
        never occur.
    """
    recall = found["recall"]
    before = np.pad(recall, ((0, 0), (1, 0)))[:, :-1]
    # Where nothing was answered yet there is no step to weigh.
    precision = np.nan_to_num(found["precision"])
    return ((recall - before) * precision).sum(axis=1)


def precision_recall_pictures(arrays, titles, class_names):
    """The micro-average, and class by class; of many classes the hardest.

    Args:
        arrays: {row: arrays}, the released file last.
        titles: {row: in words}.
        class_names: C names.

    Returns:
        List of `Picture`.
    """
    *_, file = arrays.values()
    areas = average_precision(file)[:-1]
    hardest = np.argsort(areas, kind="stable")
    chosen = [c for c in hardest if not np.isnan(areas[c])][:_FEW]
    return [
        micro_average_picture(arrays, titles),
        *(
            _precision_recall(arrays, titles, c, class_names[c], NARROW)
            for c in sorted(chosen)
        ),
    ]


def micro_average_picture(arrays, titles):
    """The precision-recall curve of all classes taken together.

    Args:
        arrays: {row: arrays}.
        titles: {row: in words}.
    """
    return _precision_recall(arrays, titles, -1, "micro-average", WIDTH)


@styled
def _precision_recall(arrays, titles, number, name, width):
    figure, axis = canvas(width=width, height=0.35 * width + 1.5)
    said = []
    for order, (row, found) in enumerate(arrays.items()):
        area = average_precision(found)[number]
        style = LOOK.get(row) or look(order)
        # The narrow ones are read beside the wide one.
        who = f"{titles[row]}, " if width == WIDTH else ""
        axis.plot(
            found["recall"][number],
            found["precision"][number],
            label=f"{who}{area:.3f}",
            **style,
        )
        said.append(f"{titles[row]} {area:.4f}")
    axis.set(xlim=(0, 1.01), ylim=(0, 1.02))
    axis.set(xlabel="recall", ylabel="precision")
    axis.set_title(name if len(name) < 30 else f"{name[:28]}…")
    axis.legend(loc="lower left")
    of = "micro" if number == -1 else f"class_{number}"
    alt = f"Precision against recall, {name}; area under it: {'; '.join(said)}."
    return picture(figure, f"precision_recall_{of}", alt)


@styled
def calibration_picture(arrays, titles):
    """Does what is said with a probability of 0.8 hold eight times in ten?

    Args:
        arrays: {row: arrays}.
        titles: {row: in words}.

    Returns:
        `Picture`.
    """
    figure, (axis, counts) = canvas(
        height=4.0, nrows=2, sharex=True, height_ratios=(3, 1)
    )
    axis.plot((0, 1), (0, 1), color="0.6", linewidth=1, label="ideal")
    said = []
    for number, (row, found) in enumerate(arrays.items()):
        style = LOOK.get(row) or look(number)
        count = found["calibration_count"]
        some, share = count > 0, count / max(count.sum(), 1)
        sure = found["calibration_confidence"][some]
        right = found["calibration_accuracy"][some]
        error = float((share[some] * np.abs(sure - right)).sum())
        label = f"{titles[row]}, off by {error:.3f}"
        axis.plot(sure, right, marker=".", label=label, **style)
        edges = np.linspace(0, 1, len(count) + 1)
        counts.stairs(share, edges, **style)
        said.append(f"{titles[row]} {error:.4f}")
    axis.set(ylabel="share that is right", ylim=(0, 1.02))
    axis.set_title("Calibration")
    axis.legend()
    counts.set(xlabel="probability of the answer", ylabel="share")
    alt = (
        "Share of right answers against their probability; expected "
        f"calibration error: {'; '.join(said)}."
    )
    return picture(figure, "calibration", alt)


@styled
def confusion_picture(counts, class_names, title):
    """What was answered for every class.

    Args:
        counts: Int array (C, C): truth, answer.
        class_names: C names.
        title: What answered.

    Returns:
        `Picture`.
    """
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.36 * len(counts) + 1.4, WIDTH, 8))
    figure, axis = canvas(width=side, height=side)
    axis.grid(visible=False)
    axis.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    axis.set(xlabel="answered", ylabel="truth")
    axis.set_title(f"{title}: % of every class")
    if len(counts) <= _LEGIBLE:
        short = [str(name)[:16] for name in class_names]
        axis.set_xticks(range(len(short)), short, rotation=90)
        axis.set_yticks(range(len(short)), short)
        _write_shares(axis, share)
    right = np.trace(counts) / max(counts.sum(), 1)
    alt = f"Confusion matrix of {title}: {100 * right:.2f} % on its diagonal."
    worst = confusions(counts, class_names)[:1]
    for truth, answered, _, of_class in worst:
        alt += f" Most often confused: {truth} for {answered}, {of_class}."
    return picture(figure, "confusion", alt)


def _write_shares(axis, share):
    for (i, j), part in np.ndenumerate(share):
        if part > 0:
            color = "white" if part > 0.35 else "black"
            text = "<1" if part < 0.005 else f"{100 * part:.0f}"
            axis.text(
                j, i, text, ha="center", va="center", color=color, fontsize=7
            )


def confusions(counts, class_names):
    """What is taken for what, most frequent first.

    Args:
        counts: Int array (C, C): truth, answer.
        class_names: C names.

    Returns:
        At most ten of (truth, answer, times, share of the class).
    """
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:10]
    return [
        (
            class_names[i],
            class_names[j],
            f"{wrong[i, j]:,}",
            f"{100 * wrong[i, j] / counts[i].sum():.1f} %",
        )
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[i, j]
    ]


def value_pictures(arrays, titles, names):
    """Answers against the truth, one picture a value.

    Args:
        arrays: {row: arrays with `answers` and `targets` (N, V)}.
        titles: {row: in words}.
        names: V names.

    Returns:
        List of `Picture`, for the first twelve values.
    """
    return [
        _values(arrays, titles, number, name)
        for number, name in enumerate(names[:_FEW])
    ]


@styled
def _values(arrays, titles, column, name):
    figure, axis = canvas(height=3.6)
    said = []
    for number, (row, found) in enumerate(arrays.items()):
        truth, answer = (
            found[key][:, column] for key in ("targets", "answers")
        )
        error = np.abs(truth - answer).mean()
        every = slice(None, None, -(-len(truth) // _POINTS))
        color = (LOOK.get(row) or look(number))["color"]
        label = f"{titles[row]}, off by {error:.4g}"
        axis.scatter(
            truth[every], answer[every], 9, color, alpha=0.5, label=label
        )
        said.append(f"{titles[row]} {error:.4g}")
    axis.axline((truth[0], truth[0]), slope=1, color="0.6", linewidth=1)
    axis.set(xlabel="truth", ylabel="answer", title=name)
    axis.legend()
    alt = f"Answers against truth, {name}; mean error: {'; '.join(said)}."
    return picture(figure, f"values_{column}", alt)
