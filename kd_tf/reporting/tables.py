"""What was measured, as rows. What was not measured is an empty cell."""

from tabulate import tabulate

from kd_tf.tasks import TASKS

TITLES = {
    "teacher": "teacher",
    "control": "student on labels",
    "student": "student distilled",
    "pruned": "pruned",
    "weight_only_int8": ".tflite weight-only int8",
    "int8": ".tflite int8",
    "float": ".tflite float",
}
_STAGE_OF = {
    "teacher": "teach",
    "control": "control",
    "student": "distill",
    "pruned": "prune",
}
_MAIN = {
    "model": "model",
    "test_score": "test {score}",
    "parameters": "parameters",
    "bytes": "bytes",
    "gzip_bytes": "gzip",
    "p50_ms": "p50 ms",
}
_DETAILS = {
    "model": "model",
    "agreement": "agreement with Keras",
    "validation_score": "validation {score}",
    "best_epoch": "best epoch",
    "p95_ms": "p95 ms",
    "peak_memory_mb": "peak memory MB",
}
_NO_SCORES = ("agreement", "not_finite")
_DIGITS = {
    "test_score": ".4f",
    "agreement": ".4f",
    "validation_score": ".4f",
    "parameters": ",",
    "bytes": ",",
    "gzip_bytes": ",",
    "p50_ms": ".4f",
    "p95_ms": ".4f",
    "peak_memory_mb": ".1f",
}


def result_rows(stages):
    """One dict a model or file; a key is absent where nothing was measured.

    Args:
        stages: {stage: what it found}; stages that were off are absent.

    Returns:
        List of dicts, in the order of the road.
    """
    exported = stages["export"]
    titles = dict(TITLES)
    if exported["released"] != "float":
        del titles["float"]
    score = TASKS[stages["prepare"]["task"]].score
    rows = []
    for row, title in titles.items():
        trained = stages.get(_STAGE_OF.get(row), {})
        checked = stages.get("verify", {}).get("files", {}).get(row, {})
        measured = {
            "test_score": numbers_of(stages, row).get(score),
            "agreement": checked.get("agreement"),
            "parameters": trained.get("parameters", _of_file(row, stages)),
            "validation_score": trained.get("validation_score"),
            "best_epoch": trained.get("best_epoch"),
            **stages.get("benchmark", {}).get(row, {}),
        }
        found = {k: v for k, v in measured.items() if v is not None}
        rows.append({"id": row, "model": title, **found})
    return rows


def main_table(rows, score, tablefmt="github"):
    """The table that a run ends with; `score` is the task's, in words."""
    return _table(rows, _MAIN, score, tablefmt)


def details_table(rows, score, tablefmt="github"):
    return _table(rows, _DETAILS, score, tablefmt)


def sparsity_table(pruning, tablefmt="github"):
    """Layer by layer: what was zeroed, and what was left whole and why."""
    cells = [
        [
            row["layer"],
            f"{row['weights']:,}",
            _cell(row, "kernel_sparsity", ".4f"),
            row.get("skipped", ""),
        ]
        for row in pruning["layers"]
    ]
    headers = ["layer", "weights", "kernel sparsity", "left whole because"]
    return as_table(cells, headers, tablefmt)


_SCORE_TITLES = {"ece": "calibration error"}


def scores_table(stages, rows, tablefmt="github"):
    """Whatever else was scored on the test split, a column a score."""
    score = TASKS[stages["prepare"]["task"]].score
    scores = [numbers_of(stages, row["id"]) for row in rows]
    keys = dict.fromkeys(
        key
        for found in scores
        for key, value in found.items()
        if isinstance(value, float) and key not in (score, *_NO_SCORES)
    )
    cells = [
        [row["model"], *(_cell(found, key, ".4f") for key in keys)]
        for row, found in zip(rows, scores, strict=True)
        if found
    ]
    titles = [_SCORE_TITLES.get(key, key.replace("_", " ")) for key in keys]
    headers = ["model", *titles]
    return as_table(cells, headers, tablefmt) if keys and cells else ""


def per_class_table(names, columns, headers, tablefmt="github"):
    """A score of every class.

    Args:
        names: One a class.
        columns: Lists of numbers or None, one a class; counts may be among
            them.
        headers: Of the first column and of the others.
        tablefmt: As tabulate has it.
    """
    cells = [
        [name, *map(_number, values)]
        for name, *values in zip(names, *columns, strict=True)
    ]
    return as_table(cells, headers, tablefmt)


def stages_table(stages, seconds, tablefmt="github"):
    """How long every stage took, and over how many epochs."""
    cells = [
        [
            stage,
            len(found["history"]) if "history" in found else "",
            _duration(seconds[stage]) if stage in seconds else "",
        ]
        for stage, found in stages.items()
    ]
    cells.append(["all", "", _duration(sum(seconds.values()))])
    return as_table(cells, ["stage", "epochs", "time"], tablefmt)


def examples_table(found, tablefmt="github"):
    """How many examples each split has, and of which classes."""
    splits, classes = found["examples"], found.get("examples_per_class")
    cells = [["all", *(f"{count:,}" for count in splits.values())]]
    if classes and not TASKS[found["task"]].has_values:
        counts = zip(*(classes[split] for split in splits), strict=True)
        for name, row in zip(found["class_names"], counts, strict=True):
            cells.append([name, *(f"{count:,}" for count in row)])
    what = "class, pixels" if TASKS[found["task"]].per_pixel else "class"
    return as_table(cells, [what, *splits], tablefmt)


def numbers_of(stages, row):
    """All that verify found of a model as Keras has it, or of a file.

    A score that is no number, as R² of a single example, was not measured.
    """
    verified = stages.get("verify", {})
    files = verified.get("files", {})
    found = verified.get("models", {}).get(row, files.get(row, {}))
    return {key: value for key, value in found.items() if value == value}


def as_table(cells, headers, tablefmt="github"):
    """Text of a table whose first column is words."""
    if tablefmt == "github":
        # A bar in a name of somebody's class is no border.
        headers, *cells = (
            [str(cell).replace("|", "\\|") for cell in row]
            for row in (headers, *cells)
        )
    columns = zip(*cells, strict=True) if cells else [()] * len(headers)
    aligned = ["right" if all(map(_is_number, c)) else "left" for c in columns]
    return tabulate(
        cells,
        headers,
        tablefmt,
        colalign=("left", *aligned[1:]),
        disable_numparse=True,
    )


def _is_number(cell):
    return str(cell)[:1] in tuple("+-0123456789") or cell == ""


def _of_file(row, stages):
    """Parameters of the network that a quantized or float file holds."""
    made = stages["export"].get("made_from")
    is_file = row not in _STAGE_OF
    exists = row in stages.get("quantize", {}).get("recipes", ("float",))
    if is_file and exists:
        return stages[_STAGE_OF[made]]["parameters"]
    return None


def _table(rows, columns, score, tablefmt):
    cells = [
        [_cell(row, key, _DIGITS.get(key, "")) for key in columns]
        for row in rows
    ]
    headers = [title.format(score=score) for title in columns.values()]
    return as_table(cells, headers, tablefmt)


def _cell(row, key, digits):
    return format(row[key], digits) if key in row else ""


def _number(value):
    if value is None or value != value:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _duration(seconds):
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min"
        if hours
        else f"{minutes} min {seconds:02} s"
    )
