"""Outputs and targets of every task, and how tests feed them to a score."""

import numpy as np

from kd_tf.tasks import IGNORED, get_task

RNG = np.random.default_rng(0)
NUM_OUTPUTS = 3

_PIXELS = RNG.integers(0, 3, (10, 4, 4))

# {task: (outputs (N, ..., C), targets (N, ...))}
CASES = {
    "classification": (RNG.normal(size=(60, 3)), RNG.integers(0, 3, 60)),
    "multilabel": (RNG.normal(size=(60, 3)), RNG.integers(0, 2, (60, 3))),
    "segmentation": (
        RNG.normal(size=(10, 4, 4, 3)),
        np.where(RNG.random(_PIXELS.shape) < 0.3, IGNORED, _PIXELS),
    ),
    "regression": (RNG.normal(size=(60, 3)), RNG.normal(size=(60, 3))),
}
# {task: (shape of an example, of a target, of an output)}
SHAPES = {
    "classification": ((8, 6, 1), (), (3,)),
    "multilabel": ((8, 6, 1), (3,), (3,)),
    "segmentation": ((8, 6, 1), (8, 6), (8, 6, 3)),
    "regression": ((5,), (3,), (3,)),
}


def fill_score(task, num_outputs, outputs, targets, *, batch_size=7):
    """A task's score after all batches."""
    score = get_task(task).new_score(num_outputs)
    for i in range(0, len(outputs), batch_size):
        batch = slice(i, i + batch_size)
        score.update(outputs[batch], targets[batch])
    return score
