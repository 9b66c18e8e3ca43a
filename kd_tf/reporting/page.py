"""One self-contained page, the same in Markdown, and the data as JSON."""

import importlib.resources
import json
import os

import jinja2

from kd_tf.reporting import figures
from kd_tf.reporting.tables import (
    details_table,
    main_table,
    result_rows,
    sparsity_table,
)
from kd_tf.scoring import load_arrays
from kd_tf.tasks import TASKS

_TRAINING = ("teach", "control", "distill", "prune")


def write_report(results, verification, folder):
    """Writes `report.html`, `report.md`, `report.json` and `table.md`.

    Args:
        results: Dict with `name`, `seed`, `environment`, `config` (text) and
            `stages` ({stage: what it found}; stages that were off absent).
        verification: Folder with `curves.npz` and `shown.npz`, or None if
            nothing was verified.
        folder: Existing folder to write into.

    Returns:
        The names of the files.
    """
    stages = results["stages"]
    rows = result_rows(stages)
    task = TASKS[stages["prepare"]["task"]]
    view = {
        **results,
        "rows": rows,
        "score": task.title,
        "missed": stages.get("verify", {}).get("missed"),
        "limits": stages.get("verify", {}).get("limits"),
        "gain": _gain_of_distillation(stages),
        "not_made": {
            **stages["export"]["not_converted"],
            **stages.get("quantize", {}).get("not_made", {}),
        },
        "distillation": {
            "diagnosis": None,
            "adapter_parameters": 0,
            **stages.get("distill", {}),
        },
        "pruning": stages.get("prune", {}).get("pruning"),
        "pictures": _pictures(stages, rows, verification),
        "main_table": main_table,
        "details_table": details_table,
        "sparsity_table": sparsity_table,
    }
    pages = {
        "report.html": _render("page.html", view),
        "report.md": _render("page.md", view),
        "report.json": json.dumps({**results, "rows": rows}, indent=1),
        "table.md": main_table(rows, task.title) + "\n",
    }
    for name, text in pages.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    return list(pages)


def _render(template, view):
    text = (
        importlib.resources.files("kd_tf.reporting")
        .joinpath(template)
        .read_text(encoding="utf-8")
    )
    environment = jinja2.Environment(
        autoescape=template.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.from_string(text).render(view)


def _pictures(stages, rows, verification):
    pictures = {}
    for stage in _TRAINING:
        history = stages.get(stage, {}).get("history")
        if history:
            pictures[f"Training: {stage}"] = figures.curves(history, stage)
    picture = figures.tradeoff(rows)
    if picture:
        pictures["Size, accuracy and latency"] = picture
    if verification:
        arrays = load_arrays(os.path.join(verification, "curves.npz"))
        found = arrays[stages["export"]["delivered"]]
        if "confusion" in found:
            pictures["Confusion on the test split"] = figures.confusion(
                found["confusion"],
                stages["prepare"]["class_names"],
                "student.tflite",
            )
    return pictures


def _gain_of_distillation(stages):
    """Distilled minus labels only, in the test score, or None."""
    scores = stages.get("verify", {}).get("models", {})
    if "control" not in scores or "student" not in scores:
        return None
    score = TASKS[stages["prepare"]["task"]].score
    return scores["student"][score] - scores["control"][score]
