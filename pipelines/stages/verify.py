"""Scores every model and file on the test split, and checks the budget."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from kd_tf.edge.runtime import FileModel
from kd_tf.edge.verification import evaluate_models
from kd_tf.results import Limit, ScoreRecord
from kd_tf.tasks.curves import save_arrays
from pipelines import training
from pipelines.stages import artefacts_in
from pipelines.state import Run, VerifyResult

T = TypeVar("T")
_NUM_SHOWN = 12


def verify(run: Run, scratch: str) -> tuple[dict[str, str], VerifyResult]:
    """Leaves curves to draw, and a few examples with all outputs."""
    training.start(run)
    models = {
        _model(variant.name): training.predict_function(run, variant.name)
        for variant in run.models
    }
    references = {}
    for name, path in run.files().items():
        models[_file(name)] = FileModel(path)
        is_model = _model(name) in models
        references[_file(name)] = _model(name if is_model else run.last_model)
    evaluation = evaluate_models(
        models,
        references,
        run.split("test").batches(run.config.data.batch_size),
        task=run.config.task,
        num_outputs=run.num_outputs,
    )
    model_scores = _by_variant(evaluation.scores, "model")
    file_scores = _by_variant(evaluation.scores, "file")
    save_arrays(
        os.path.join(scratch, "curves.npz"),
        _by_variant(evaluation.arrays, "file"),
    )
    losses = evaluation.losses[_file(run.released)]
    shown = run.task.examples_to_show(losses, _NUM_SHOWN)
    _save_shown(run, os.path.join(scratch, "shown.npz"), shown, models)
    limits = list(_limits(run, model_scores, file_scores))
    return artefacts_in(
        scratch, "verification", ["curves.npz", "shown.npz"]
    ), VerifyResult(model_scores, file_scores, limits)


def _model(name: str) -> str:
    return f"model/{name}"


def _file(name: str) -> str:
    return f"file/{name}"


def _by_variant(rows: Mapping[str, T], kind: str) -> dict[str, T]:
    """{variant: value} of the rows of one kind, "model" or "file"."""
    keys = ((key, *key.split("/", 1)) for key in rows)
    return {name: rows[key] for key, prefix, name in keys if prefix == kind}


def _save_shown(
    run: Run, path: str, numbers: np.ndarray, models: Mapping[str, Any]
) -> None:
    """A few examples and what every model and file makes of them."""
    split = run.split("test")
    x, y = split.examples()[numbers], split.targets()[numbers]
    arrays: dict[str, Any] = {
        row: run.task.outputs_to_keep(model(x)) for row, model in models.items()
    }
    np.savez(path, x=x, y=y, numbers=numbers, **arrays)


def _limits(
    run: Run,
    model_scores: dict[str, ScoreRecord],
    file_scores: dict[str, ScoreRecord],
) -> Iterator[Limit]:
    budget, released = run.config.budget, file_scores[run.released]
    yield Limit("outputs_not_finite", 0, released.not_finite)
    if budget.max_score_drop is not None and run.reference is not None:
        scores = [
            _number(record.scores[run.task.score])
            for record in (model_scores[run.reference], released)
        ]
        # Rounded, for 0.95 - 0.94 is a little over 0.01.
        drop = round(scores[0] - scores[1], 9)
        yield Limit("max_score_drop", budget.max_score_drop, drop)
    if budget.max_size_kb is not None:
        size_kb = os.path.getsize(run.file_path(run.released)) / 1000
        yield Limit("max_size_kb", budget.max_size_kb, size_kb)
    if budget.max_latency_ms is not None:
        # The very figure that the tables show.
        latency_ms = run.result("benchmark")[run.released].p50_ms
        yield Limit("max_latency_ms", budget.max_latency_ms, latency_ms)


def _number(score: float | None) -> float:
    return float("nan") if score is None else score
