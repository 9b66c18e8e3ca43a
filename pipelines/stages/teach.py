"""Trains the teacher, or loads and scores the one handed in."""

from kd_tf.results import TrainingRecord
from pipelines import training
from pipelines.lineage import TEACHER
from pipelines.state import Run


def teach(run: Run, scratch: str) -> tuple[dict[str, str], TrainingRecord]:
    """Leaves the teacher as a `.keras` file."""
    training.start(run)
    network = run.config.teacher
    model = training.build_or_load(run, network, "The teacher")
    if network.path:
        record = training.score(run, model)
    else:
        record = training.train(
            run,
            model,
            model,
            scratch,
            label="teach",
            epochs=network.epochs,
            learning_rate=network.learning_rate,
        )
    return training.save(model, TEACHER, scratch), record
