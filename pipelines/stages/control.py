"""Trains the student on labels alone: what distillation has to beat."""

from kd_tf.results import TrainingRecord
from pipelines import training
from pipelines.lineage import CONTROL
from pipelines.state import Run


def control(run: Run, scratch: str) -> tuple[dict[str, str], TrainingRecord]:
    """Leaves the control as a `.keras` file."""
    training.start(run)
    network = run.config.student
    model = training.build_or_load(run, network, "The student")
    record = training.train(
        run,
        model,
        model,
        scratch,
        label="control",
        epochs=network.epochs,
        learning_rate=network.learning_rate,
    )
    return training.save(model, CONTROL, scratch), record
