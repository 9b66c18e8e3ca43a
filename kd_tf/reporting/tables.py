"""What was measured, as rows. What was not measured is an empty cell."""

from tabulate import tabulate

from kd_tf.tasks import TASKS

_TITLES = {
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
    titles = dict(_TITLES)
    if exported["delivered"] != "float":
        del titles["float"]
    verified = stages.get("verify", {})
    score = TASKS[stages["prepare"]["task"]].score
    rows = []
    for row, title in titles.items():
        trained = stages.get(_STAGE_OF.get(row), {})
        checked = verified.get("files", {}).get(row, {})
        measured = {
            "test_score": (
                verified.get("models", {}).get(row, checked).get(score)
            ),
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
    return _format(cells, headers, tablefmt)


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
    return _format(cells, headers, tablefmt)


def _cell(row, key, digits):
    return format(row[key], digits) if key in row else ""


def _format(cells, headers, tablefmt):
    left = ("left",) + ("right",) * (len(headers) - 1)
    return tabulate(
        cells, headers, tablefmt, colalign=left, disable_numparse=True
    )
