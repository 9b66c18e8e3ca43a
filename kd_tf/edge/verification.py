"""Do two models answer alike? Does a file keep what was promised of it?

Runs in the edge runtime itself, without TensorFlow. N examples; answers are
(N, ..., C) of C classes or values.
"""

import dataclasses

import numpy as np

from kd_tf.tasks import TASKS
from kd_tf.tasks.scoring import Agreement, new_score

_SHOWN = 12


def evaluate_models(models, references, batches, task, num_classes):
    """Scores models and files side by side, in one pass over the data.

    Args:
        models: {row: function from raw examples (n, ...) to answers}.
        references: {row: row that it should answer like}.
        batches: Iterable of raw examples (n, ...) and targets (n, ...).
        task: Name of `kd_tf.tasks.TASKS`.
        num_classes: C.

    Returns:
        {row: result}: the numbers of `kd_tf.tasks.scoring`, `not_finite`, and
        `agreement` where it has a twin; {row: arrays to draw from}; {row:
        every example's own loss (N,)}.
    """
    scores = {row: new_score(task, num_classes) for row in models}
    agreements = {row: Agreement(task) for row in references}
    not_finite = dict.fromkeys(models, 0)
    losses = {row: [] for row in models}
    for x, y in batches:
        answers = {row: model(x) for row, model in models.items()}
        for row, found in answers.items():
            not_finite[row] += int(np.sum(~np.isfinite(found)))
            answers[row] = np.nan_to_num(found)
            losses[row].append(scores[row].update(answers[row], y))
        for row, agreement in agreements.items():
            agreement.update(answers[row], answers[references[row]])
    results = {}
    for row, score in scores.items():
        results[row] = {**score.result(), "not_finite": not_finite[row]}
        if row in agreements:
            results[row]["agreement"] = agreements[row].result()
    arrays = {row: score.arrays() for row, score in scores.items()}
    return results, arrays, {r: np.concatenate(x) for r, x in losses.items()}


def examples_to_show(losses, task):
    """Numbers of a dozen examples to look at, from the worst to the best.

    Of pixels, evenly through the ranks, from the worst image to the best; of
    other answers the worst alone.

    Args:
        losses: Float array (N,).
        task: Name of `kd_tf.tasks.TASKS`.
    """
    order = np.argsort(-losses, kind="stable")
    if TASKS[task].per_pixel:
        count = min(_SHOWN, len(order))
        return order[np.linspace(0, len(order) - 1, count).round().astype(int)]
    return order[:_SHOWN]


@dataclasses.dataclass(frozen=True)
class Limit:
    """One thing promised of a file, and what was measured.

    Attributes:
        name: The limit's name in the budget.
        allowed: The greatest value allowed.
        measured: What the file has.
    """

    name: str
    allowed: float
    measured: float

    @property
    def met(self):
        # Written so that a measurement of NaN breaks the limit.
        return self.measured <= self.allowed

    def __str__(self):
        if self.met:
            return f"{self.name}: {self.measured:.6g} of {self.allowed:.6g}"
        over = self.measured - self.allowed
        return (
            f"{self.name} missed: allowed {self.allowed:.6g}, measured "
            f"{self.measured:.6g}, {over:.6g} too much"
        )
