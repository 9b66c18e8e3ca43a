"""What a score costs: in bytes and in time."""

from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from kd_tf.reporting.pictures import LOOK, canvas, look, picture, styled

_COSTS = {
    "bytes": ("kB", 1e-3, "size"),
    "p50_ms": ("ms, median of one answer", 1, "latency"),
}
_FAR_APART = 5
_DECADES_APART = 100


def tradeoff_pictures(rows, title):
    """The score against bytes and against latency.

    Args:
        rows: Rows of `kd_tf.reporting.tables.result_rows`; those that lack a
            figure are left out. A key `run` puts rows into groups that are
            drawn alike.
        title: The score in words.

    Returns:
        List of `Picture`, without those that nothing is known for.
    """
    drawn = []
    for key in _COSTS:
        known = [row for row in rows if key in row and "test_score" in row]
        if known:
            drawn.append(_tradeoff(known, key, title))
    return drawn


@styled
def _tradeoff(rows, key, title):
    unit, factor, what = _COSTS[key]
    figure, axis = canvas(height=3.8)
    runs = list(dict.fromkeys(row.get("run") for row in rows))
    markers = dict(zip(LOOK, "osD^vPX", strict=True))
    for row in rows:
        one_run = "run" not in row
        style = LOOK[row["id"]] if one_run else look(runs.index(row["run"]))
        label = row["model"] if one_run else f"{row['run']}: {row['model']}"
        axis.scatter(
            row[key] * factor,
            row["test_score"],
            55,
            style["color"],
            marker=markers[row["id"]],
            alpha=0.8,
            label=label,
        )
    axis.set(xlabel=f"{what}, {unit}", ylabel=f"test {title}")
    axis.set_title(f"{title[0].upper()}{title[1:]} against {what}")
    _scale(axis, [row[key] for row in rows])
    axis.margins(0.12)
    figure.set_figheight(3.2 + 0.16 * -(-len(rows) // 2))
    figure.legend(ncols=2, fontsize=7, loc="outside lower center")
    points = (
        f"{row.get('run', '')} {row['model']} {row['test_score']:.4f} at "
        f"{row[key] * factor:.4g}".strip()
        for row in rows
    )
    alt = f"Test {title} against {what} in {unit}: {'; '.join(points)}."
    return picture(figure, f"score_against_{what}", alt)


def _scale(axis, costs):
    """Logarithmic where costs are far apart; with numbers in plain figures."""
    ratio = max(costs) / min(costs)
    if ratio < _FAR_APART:
        axis.locator_params(axis="x", nbins=5)
        return
    axis.set_xscale("log")
    marks = (1, 2, 5) if ratio < _DECADES_APART else (1,)
    axis.xaxis.set_major_locator(LogLocator(subs=marks))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
