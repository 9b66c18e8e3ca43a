"""What was measured of each variant, as one row of the main table."""

import math
from typing import Any

from kd_tf.results import CostRecord, Results, Variant
from kd_tf.tasks import get_task

Row = dict[str, Any]


def result_rows(results: Results) -> list[Row]:
    """Makes one dict for each variant; what was not measured is absent.

    Args:
        results: A finished run.

    Returns:
        List of dicts with `id`, `model` and, as far as they were measured,
        `test_score`, `agreement`, `parameters`, `validation_score`,
        `best_epoch`, `bytes`, `gzip_bytes`, `p50_ms`, `p95_ms`,
        `peak_memory_mb`.
    """
    return [_row(results, variant) for variant in results.variants]


def measured_scores(results: Results, name: str) -> dict[str, float]:
    """Scores of a variant on the test split that could be computed."""
    record = results.scores_of(name)
    return _measured(record.scores) if record else {}


def _row(results: Results, variant: Variant) -> Row:
    name = variant.name
    score = get_task(results.data.task).score
    training = results.trainings.get(name)
    file_scores = results.file_scores.get(name)
    values = {
        "test_score": measured_scores(results, name).get(score),
        "agreement": file_scores and file_scores.agreement,
        "parameters": _parameters(results, variant),
        "validation_score": training and training.validation_score,
        "best_epoch": training and training.best_epoch,
        **_costs(results.costs.get(name)),
    }
    return {"id": name, "model": variant.title, **_measured(values)}


def _parameters(results: Results, variant: Variant) -> int | None:
    """Parameters of the Keras model that a variant is or was made from."""
    if variant.is_file and variant.name in results.not_made:
        return None
    training = results.trainings.get(results.model_of(variant.name).name)
    return training.parameters if training else None


def _costs(cost: CostRecord | None) -> dict[str, float]:
    if cost is None:
        return {}
    return {
        "bytes": cost.size_bytes,
        "gzip_bytes": cost.gzip_bytes,
        "p50_ms": cost.p50_ms,
        "p95_ms": cost.p95_ms,
        "peak_memory_mb": cost.peak_memory_mb,
    }


def _measured(values: dict[str, Any]) -> dict[str, Any]:
    # NaN is what R² of a single example is: not a measurement.
    return {
        key: value
        for key, value in values.items()
        if value is not None and not math.isnan(value)
    }
