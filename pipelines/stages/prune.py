"""Applies a compression pass; the student recovers under its teacher."""

import os
from typing import Any

import keras

from kd_tf.models.loading import load_model
from kd_tf.results import TrainingRecord
from pipelines import distilling, training
from pipelines.lineage import PRUNED, unpruned_student
from pipelines.state import PruneResult, Run


def prune(run: Run, scratch: str) -> tuple[dict[str, str], PruneResult]:
    """Leaves the compressed student as a `.keras` file."""
    training.start(run)
    settings = run.config.prune
    student = load_model(run.model_path(unpruned_student(run.config)))
    recover = Recovery(run, scratch)
    compress = settings.spec.load()
    student, record = compress(student, recover, **settings.arguments)
    return training.save(student, PRUNED, scratch), PruneResult(
        recover.record_of(student), record
    )


class Recovery:
    """What a pass trains a model with; see `kd_tf.compression.recovery`.

    Args:
        run: The run.
        scratch: Folder for the checkpoints.
    """

    def __init__(self, run: Run, scratch: str) -> None:
        self.epochs: int = run.config.prune.epochs
        self.steps_per_epoch = training.steps_per_epoch(run)
        self._run, self._scratch = run, scratch
        self._num_calls = 0
        self._record: TrainingRecord | None = None

    def __call__(
        self, model: keras.Model, callbacks: Any = (), **how: Any
    ) -> None:
        """Trains a model in place, and keeps its best eligible epoch."""
        # A pass may train more than once, each time from new checkpoints.
        self._num_calls += 1
        folder = os.path.join(self._scratch, f"recovery_{self._num_calls}")
        os.makedirs(folder, exist_ok=True)
        self._record = distilling.train(
            self._run,
            distilling.under_teacher(self._run, model),
            model,
            folder,
            label="prune",
            epochs=self.epochs,
            learning_rate=self._run.config.prune.learning_rate,
            callbacks=callbacks,
            **how,
        )

    def record_of(self, model: keras.Model) -> TrainingRecord:
        """The training's record; a pass that did not train is scored."""
        return self._record or training.score(self._run, model)
