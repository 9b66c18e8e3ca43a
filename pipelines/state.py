"""A run: its config, its folder, and what finished stages left there."""

import dataclasses
import functools
import json
from typing import Any, TypeVar

from kd_tf.data.splitting.splits import Split
from kd_tf.results import (
    CompressionRecord,
    CostRecord,
    DataRecord,
    Limit,
    QuantizationRecord,
    ScoreRecord,
    TrainingRecord,
    Variant,
    from_json,
)
from kd_tf.tasks import Task, get_task
from pipelines.config.schema import Config
from pipelines.lineage import lineage, reference_variant, released_variant
from pipelines.workdir import Workdir

T = TypeVar("T")
CANDIDATE = "tflite/candidate.tflite"  # the file that may be released


@dataclasses.dataclass(frozen=True)
class PruneResult:
    """A compressed model: its training, and what was done to its layers."""

    training: TrainingRecord
    compression: CompressionRecord


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """{variant: why there is no float file of it}."""

    not_made: dict[str, str]


@dataclasses.dataclass(frozen=True)
class QuantizeResult:
    """Quantized files, {variant: record}, and {variant: why it has none}."""

    quantizations: dict[str, QuantizationRecord]
    not_made: dict[str, str]
    calibration_examples: int


@dataclasses.dataclass(frozen=True)
class VerifyResult:
    """Scores of Keras models and of files by variant, and the budget."""

    model_scores: dict[str, ScoreRecord]
    file_scores: dict[str, ScoreRecord]
    limits: list[Limit]


@dataclasses.dataclass(frozen=True)
class ReportResult:
    """Name of the file that was written, and the limits it does not meet."""

    file: str
    missed: list[Limit]


_TYPES: dict[str, Any] = {
    "prepare": DataRecord,
    "teach": TrainingRecord,
    "control": TrainingRecord,
    "distill": TrainingRecord,
    "prune": PruneResult,
    "export": ExportResult,
    "quantize": QuantizeResult,
    "benchmark": dict[str, CostRecord],
    "verify": VerifyResult,
    "report": ReportResult,
}


class Run:
    """One run, as its stages see it.

    Args:
        config: What it was asked for.
        workdir: Its folder.
    """

    def __init__(self, config: Config, workdir: Workdir) -> None:
        self.config, self.workdir = config, workdir
        self.variants = lineage(config)
        self.released = released_variant(config)
        self.reference = reference_variant(config)

    @property
    def task(self) -> Task:
        """The task of the config."""
        return get_task(self.config.task)

    @property
    def models(self) -> list[Variant]:
        """Variants that are Keras models."""
        return [v for v in self.variants if not v.is_file]

    @property
    def last_model(self) -> str:
        """Name of the Keras model that becomes the released file."""
        return self.models[-1].name

    @functools.cached_property
    def data(self) -> DataRecord:
        """Record of the data."""
        return self.result("prepare")

    @property
    def num_outputs(self) -> int:
        """Number of classes or values."""
        return len(self.data.class_names)

    def result(self, stage: str) -> Any:
        """The record that a finished stage left, of its type."""
        record = self.workdir.finished(stage)
        return from_json(_TYPES[stage], json.dumps(record["result"]))

    def split(self, name: str) -> Split:
        """One split of the data, on disk."""
        return Split.in_folder(self.workdir.file("data"), name)

    def model_path(self, name: str) -> str:
        """The `.keras` file of a variant."""
        return self.workdir.file(f"models/{name}.keras")

    def file_path(self, name: str) -> str:
        """The `.tflite` file of a variant."""
        if name == self.released:
            return self.workdir.file(CANDIDATE)
        return self.workdir.file(f"tflite/{name}.tflite")

    def files(self) -> dict[str, str]:
        """{variant: its `.tflite` file} of all that could be made."""
        not_made = dict(self.result("export").not_made)
        if self.config.quantize.enabled:
            not_made.update(self.result("quantize").not_made)
        return {
            variant.name: self.file_path(variant.name)
            for variant in self.variants
            if variant.name not in not_made
        }
