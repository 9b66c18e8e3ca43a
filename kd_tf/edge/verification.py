"""Scores of models and files side by side, in the runtime of the device.

Needs no TensorFlow. Shapes: N examples, n of them in a batch; outputs are
(n, ..., C) of C classes or values.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from kd_tf.results import ScoreRecord
from kd_tf.tasks import get_task
from kd_tf.tasks.task import Agreement, Score

Predict = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate_models` measured.

    Attributes:
        scores: {model: `ScoreRecord`}.
        arrays: {model: {name: curves and counts to draw from}}.
        losses: {model: loss of every example, float (N,)}.
    """

    scores: dict[str, ScoreRecord]
    arrays: dict[str, dict[str, np.ndarray]]
    losses: dict[str, np.ndarray]


def evaluate_models(
    models: Mapping[str, Predict],
    references: Mapping[str, str],
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    task: str,
    num_outputs: int,
) -> Evaluation:
    """Scores models and files side by side, in one pass over the data.

    Outputs that are NaN or infinite are counted, and scored as 0 or as the
    greatest float there is.

    Args:
        models: {name: function from raw examples (n, ...) to outputs}; a
            `FileModel` is one.
        references: {name: name of the model whose outputs it should have}.
        batches: Iterable of raw examples (n, ...) and targets (n, ...).
        task: Name of `kd_tf.tasks.TASKS`.
        num_outputs: C.

    Returns:
        `Evaluation`; a model has an agreement if it has a reference.
    """
    chosen = get_task(task)
    scores = {name: chosen.new_score(num_outputs) for name in models}
    agreements = {name: chosen.new_agreement() for name in references}
    not_finite = dict.fromkeys(models, 0)
    losses: dict[str, list[np.ndarray]] = {name: [] for name in models}
    for x, y in batches:
        # All models see a batch before the next is read, so that they can be
        # compared while memory holds the outputs of one batch alone.
        raw = {name: model(x) for name, model in models.items()}
        outputs = {name: np.nan_to_num(array) for name, array in raw.items()}
        for name, score in scores.items():
            not_finite[name] += int(np.sum(~np.isfinite(raw[name])))
            losses[name].append(score.update(outputs[name], y))
        for name, agreement in agreements.items():
            agreement.update(outputs[name], outputs[references[name]])
    return Evaluation(
        scores={
            name: _record(score, not_finite[name], agreements.get(name))
            for name, score in scores.items()
        },
        arrays={name: score.arrays() for name, score in scores.items()},
        losses={name: np.concatenate(of) for name, of in losses.items()},
    )


def _record(
    score: Score, not_finite: int, agreement: Agreement | None
) -> ScoreRecord:
    return dataclasses.replace(
        score.result(),
        not_finite=not_finite,
        agreement=None if agreement is None else agreement.result(),
    )
