"""Trains the student, from the control's initial weights, under the teacher."""

import dataclasses

from kd_tf.results import TrainingRecord
from pipelines import distilling, training
from pipelines.lineage import STUDENT
from pipelines.state import Run


def distill(run: Run, scratch: str) -> tuple[dict[str, str], TrainingRecord]:
    """Leaves the student as a `.keras` file; one handed in is scored."""
    training.start(run)
    network = run.config.student
    student = training.build_or_load(run, network, "The student")
    if network.path:
        record = training.score(run, student)
        return training.save(student, STUDENT, scratch), record
    distiller = distilling.under_teacher(run, student)
    diagnosis = distilling.diagnose(run, distiller)
    record = distilling.train(
        run,
        distiller,
        student,
        scratch,
        label="distill",
        epochs=network.epochs,
        learning_rate=network.learning_rate,
    )
    record = dataclasses.replace(record, diagnosis=diagnosis)
    return training.save(student, STUDENT, scratch), record
