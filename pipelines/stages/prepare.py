"""Reads the source, splits it, and writes the splits so that they stream."""

from kd_tf.data.sources import open_source
from kd_tf.data.splitting.assignment import SplitSettings
from kd_tf.data.splitting.splits import write_splits
from kd_tf.results import DataRecord
from pipelines.config.data import SPLIT_SETTINGS
from pipelines.stages import artefacts_in
from pipelines.state import Run


def prepare(run: Run, scratch: str) -> tuple[dict[str, str], DataRecord]:
    """Writes examples and targets of every split.

    Raises:
        ValueError: if the data is invalid, or of another task.
    """
    data = run.config.data
    source = open_source(data.source, task=run.config.task, **data.arguments)
    if source.task != run.config.task:
        raise ValueError(
            f"The data does not fit the task. Set task: {source.task}, or "
            "read another source. Received: task: "
            f"{run.config.task}"
        )
    record = write_splits(
        source,
        scratch,
        settings=SplitSettings(**data.arguments_for(SPLIT_SETTINGS)),
        seed=run.config.seed_of("split"),
        on_error=data.on_error,
    )
    names = [
        f"{split}_{part}.npy" for split in record.examples for part in "xy"
    ]
    return artefacts_in(scratch, "data", names), record
