"""Do two models answer alike? Does a file keep what was promised of it?

Runs in the edge runtime itself, without TensorFlow. N examples; answers are
(N, ..., C) of C classes or values.
"""

import dataclasses

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from kd_tf.scoring import Agreement, new_score
from kd_tf.tasks import TASKS

_SHOWN = 12


class FileModel:
    """A `.tflite` that answers one example at a time, as on a device.

    Args:
        tflite_path: File made by this package: one input, one output.
    """

    def __init__(self, tflite_path):
        interpreter = Interpreter(model_path=str(tflite_path), num_threads=1)
        self._run = interpreter.get_signature_runner()
        [self._input] = self._run.get_input_details()
        [(self._output, details)] = self._run.get_output_details().items()
        self._scale, self._zero_point = details["quantization"]

    def __call__(self, examples):
        """Answers examples of the file's own type.

        Args:
            examples: Array (N, ...), N at least 1.

        Returns:
            Float32 array (N, ..., C); integer answers are scaled back.
        """
        answers = np.stack(
            [
                self._run(**{self._input: x[np.newaxis]})[self._output][0]
                for x in examples
            ]
        )
        if not self._scale:
            return answers
        scaled = (answers.astype("float32") - self._zero_point) * self._scale
        return scaled.astype("float32")


def judge(models, twins, batches, task, num_classes):
    """Scores models and files side by side, in one pass over the data.

    Args:
        models: {row: function from raw examples (n, ...) to answers}.
        twins: {row: row that it should answer like}.
        batches: Iterable of raw examples (n, ...) and targets (n, ...).
        task: Name of `kd_tf.tasks.TASKS`.
        num_classes: C.

    Returns:
        {row: result}: the numbers of `kd_tf.scoring`, `not_finite`, and
        `agreement` where it has a twin; {row: arrays to draw from}; {row:
        every example's own loss (N,)}.
    """
    scores = {row: new_score(task, num_classes) for row in models}
    agreements = {row: Agreement(task) for row in twins}
    not_finite = dict.fromkeys(models, 0)
    losses = {row: [] for row in models}
    for x, y in batches:
        answers = {row: model(x) for row, model in models.items()}
        for row, found in answers.items():
            not_finite[row] += int(np.sum(~np.isfinite(found)))
            answers[row] = np.nan_to_num(found)
            losses[row].append(scores[row].update(answers[row], y))
        for row, agreement in agreements.items():
            agreement.update(answers[row], answers[twins[row]])
    results = {}
    for row, score in scores.items():
        results[row] = {**score.result(), "not_finite": not_finite[row]}
        if row in agreements:
            results[row]["agreement"] = agreements[row].result()
    arrays = {row: score.arrays() for row, score in scores.items()}
    return results, arrays, {r: np.concatenate(x) for r, x in losses.items()}


def worth_showing(losses, task):
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
    def kept(self):
        # Written so that a measurement of NaN breaks the limit.
        return self.measured <= self.allowed

    def __str__(self):
        if self.kept:
            return f"{self.name}: {self.measured:.6g} of {self.allowed:.6g}"
        over = self.measured - self.allowed
        return (
            f"{self.name} missed: allowed {self.allowed:.6g}, measured "
            f"{self.measured:.6g}, {over:.6g} too much"
        )
