"""Typed records of what was made and measured.

Whoever measures writes one of these; reports, comparisons and scripts of
users read them. A field that is None, or a key that is absent, was not
measured. Reading JSON needs pydantic; the records do not.
"""

import dataclasses
import json
from typing import Any, TypeVar

R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class Variant:
    """One model or file of a run, and where it comes from.

    Attributes:
        name: Identifier, unique within a run.
        title: What tables call it.
        made_by: Name of the job that made it.
        made_from: The variant whose weights it started from.
        taught_by: The variant that was its teacher.
        compared_with: The variant that differs in one thing alone, so that
            the difference in score is the worth of that thing.
        is_file: Whether it is a `.tflite` file alone. Other variants are
            Keras models, each with a float file of the same name.
    """

    name: str
    title: str
    made_by: str
    made_from: str | None = None
    taught_by: str | None = None
    compared_with: str | None = None
    is_file: bool = False


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of each feature or value."""

    mean: list[float]
    std: list[float]


@dataclasses.dataclass(frozen=True)
class DataRecord:
    """The data after splitting. C classes or values.

    Attributes:
        task: A name of `kd_tf.tasks.TASKS`.
        class_names: C names.
        example_shape: Shape of one example.
        example_dtype: NumPy type of an example.
        target_shape: Shape of one target.
        examples: {split: number of examples}.
        examples_per_class: {split: C counts}.
        test_split: Where the test split comes from, in words.
        palette: C colors (red, green, blue), or None.
        sample_rate: Of recordings, in hertz, else None.
        feature_moments: Of the features of a table, over the training split.
        target_moments: Of the targets of a regression, likewise.
        skipped: (name, reason) of examples that were left out.
    """

    task: str
    class_names: list[str]
    example_shape: list[int]
    example_dtype: str
    target_shape: list[int]
    examples: dict[str, int]
    examples_per_class: dict[str, list[int]]
    test_split: str
    palette: list[tuple[int, int, int]] | None = None
    sample_rate: int | None = None
    feature_moments: Moments | None = None
    target_moments: Moments | None = None
    skipped: list[tuple[str, str]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class ScheduleRecord:
    """A quantity that changed while training went on.

    Attributes:
        description: What the schedule says of itself.
        epochs: Points in time, in epochs from 0.
        values: Its value at each.
    """

    description: str
    epochs: list[float]
    values: list[float]


@dataclasses.dataclass(frozen=True)
class DiagnosisRecord:
    """A distillation before its first step.

    Attributes:
        summary: Figures, in one line.
        findings: Sentences, each with a remedy.
        gradient_share: {loss: its share of the gradient}.
    """

    summary: str
    findings: list[str]
    gradient_share: dict[str, float | None]


@dataclasses.dataclass(frozen=True)
class TrainingRecord:
    """One model that was trained, or loaded and scored.

    Attributes:
        validation_score: The task's score on the validation split.
        parameters: Number of parameters of the model.
        history: One dict of logs for each epoch; empty if it was loaded.
        best_epoch: The epoch whose weights were kept, from 1.
        schedules: {quantity: `ScheduleRecord`}.
        losses: Names of the losses in the history, of a distillation.
        adapter_parameters: Number of parameters trained along and dropped.
        layer_pairs: {loss: [(student layer, teacher layer)]}.
        diagnosis: Of a distillation.
    """

    validation_score: float
    parameters: int
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    best_epoch: int | None = None
    schedules: dict[str, ScheduleRecord] = dataclasses.field(
        default_factory=dict
    )
    losses: list[str] = dataclasses.field(default_factory=list)
    adapter_parameters: int | None = None
    layer_pairs: dict[str, list[tuple[str, str]]] = dataclasses.field(
        default_factory=dict
    )
    diagnosis: DiagnosisRecord | None = None


@dataclasses.dataclass(frozen=True)
class LayerRecord:
    """What a compression pass did to one layer.

    Attributes:
        layer: Path of the layer.
        weights: Number of its weights.
        zeros: How many of them are zero.
        kernel_sparsity: Share of zeros in its kernel, if it was pruned.
        skipped: Why it was left alone, if it was.
    """

    layer: str
    weights: int
    zeros: int
    kernel_sparsity: float | None = None
    skipped: str | None = None


@dataclasses.dataclass(frozen=True)
class CompressionRecord:
    """What a compression pass did; every layer with weights is listed.

    Attributes:
        layers: One record for each layer.
        sparsity: Share of zeros among all weights of the model.
    """

    layers: list[LayerRecord]
    sparsity: float


@dataclasses.dataclass(frozen=True)
class QuantizationRecord:
    """Operators of a quantized file.

    Attributes:
        operators: {operator: how many there are}.
        in_float: {operator: how many still compute in float}.
    """

    operators: dict[str, int]
    in_float: dict[str, int]


@dataclasses.dataclass(frozen=True)
class CostRecord:
    """What one file costs.

    Attributes:
        size_bytes: Size of the file.
        gzip_bytes: Size after gzip at level 9.
        p50_ms: Median latency of one invocation on one thread.
        p95_ms: 95th percentile of the same.
        peak_memory_mb: Peak of the process that ran it, in 10^6 bytes.
        machine: Where it was measured.
    """

    size_bytes: int
    gzip_bytes: int
    p50_ms: float
    p95_ms: float
    peak_memory_mb: float
    machine: str


@dataclasses.dataclass(frozen=True)
class ScoreRecord:
    """Scores of one model or file on the test split.

    Attributes:
        scores: {score: value}, the task's own among them; None where the
            split holds nothing to compute it from.
        per_class: {score: one value for each class}.
        not_finite: Number of outputs that are NaN or infinite.
        agreement: Share of decisions equal to those of the Keras model it
            was made from, or R² of its values.
    """

    scores: dict[str, float | None]
    per_class: dict[str, list[float | None]] = dataclasses.field(
        default_factory=dict
    )
    not_finite: int = 0
    agreement: float | None = None


@dataclasses.dataclass(frozen=True)
class Limit:
    """One limit of a budget, and what was measured.

    Attributes:
        name: Name of the limit.
        allowed: The greatest value allowed.
        measured: The value of the file.
    """

    name: str
    allowed: float
    measured: float

    @property
    def met(self) -> bool:
        """Whether the limit is met; a measurement of NaN does not meet it."""
        return self.measured <= self.allowed

    def __str__(self) -> str:
        if self.met:
            return f"{self.name}: {self.measured:.6g} of {self.allowed:.6g}"
        over = self.measured - self.allowed
        return (
            f"{self.name} missed: allowed {self.allowed:.6g}, measured "
            f"{self.measured:.6g}, {over:.6g} too much"
        )


@dataclasses.dataclass(frozen=True)
class Environment:
    """With what a run was made; None where it is not known."""

    versions: dict[str, str]
    python: str
    machine: str
    git_commit: str | None
    git_dirty: bool | None


@dataclasses.dataclass(frozen=True)
class Results:
    """A finished run.

    Attributes:
        name: Name of the run.
        seed: Its seed.
        environment: With what it was made.
        config: The resolved config, as YAML.
        variants: Every model and file, in the order they were made.
        released: Name of the variant that is the released file.
        reference: Name of the variant that the released file replaces.
        data: The data.
        trainings: {variant: `TrainingRecord`}.
        compressions: {variant: `CompressionRecord`}.
        quantizations: {variant: `QuantizationRecord`}.
        not_made: {variant: why there is no file of it}.
        model_scores: {variant: scores of the Keras model}.
        file_scores: {variant: scores of its file}.
        costs: {variant: cost of its file}.
        limits: The budget; None if nothing was verified.
        seconds: {job: how long it took}.
    """

    name: str
    seed: int
    environment: Environment
    config: str
    variants: list[Variant]
    released: str
    reference: str | None
    data: DataRecord
    trainings: dict[str, TrainingRecord] = dataclasses.field(
        default_factory=dict
    )
    compressions: dict[str, CompressionRecord] = dataclasses.field(
        default_factory=dict
    )
    quantizations: dict[str, QuantizationRecord] = dataclasses.field(
        default_factory=dict
    )
    not_made: dict[str, str] = dataclasses.field(default_factory=dict)
    model_scores: dict[str, ScoreRecord] = dataclasses.field(
        default_factory=dict
    )
    file_scores: dict[str, ScoreRecord] = dataclasses.field(
        default_factory=dict
    )
    costs: dict[str, CostRecord] = dataclasses.field(default_factory=dict)
    limits: list[Limit] | None = None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def missed(self) -> list[Limit]:
        """Limits of the budget that are not met."""
        return [limit for limit in self.limits or () if not limit.met]

    def variant(self, name: str) -> Variant:
        """The variant of a name.

        Raises:
            ValueError: if there is none.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise ValueError(
            f"There is no variant '{name}'. Allowed: "
            f"{', '.join(v.name for v in self.variants)}. Received: '{name}'"
        )

    def model_of(self, name: str) -> Variant:
        """The Keras model that a variant is, or was made from."""
        variant = self.variant(name)
        while variant.is_file and variant.made_from is not None:
            variant = self.variant(variant.made_from)
        return variant

    def scores_of(self, name: str) -> ScoreRecord | None:
        """Scores of a model in Keras, or of a file in LiteRT."""
        return self.model_scores.get(name, self.file_scores.get(name))


def to_json(record: Any, *, indent: int | None = None) -> str:
    """Writes a record, or a list or dict of records, as JSON.

    NaN and infinity are written as `NaN` and `Infinity`, which Python reads;
    what no text can hold, such as half a file name, as a question mark.
    """
    text = json.dumps(
        record, default=_to_plain, indent=indent, ensure_ascii=False
    )
    return text.encode("utf-8", "replace").decode("utf-8")


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.tolist()  # of NumPy


def from_json(kind: type[R], text: str) -> R:
    """Reads what `to_json` wrote.

    Args:
        kind: The record's class, or a type such as `dict[str, CostRecord]`.
        text: JSON; keys that are unknown are ignored.

    Raises:
        ValueError: if it is no such record.
    """
    import pydantic

    return pydantic.TypeAdapter(kind).validate_json(text)


def to_tree(record: Any) -> Any:
    """A record as dicts, lists and numbers."""
    return json.loads(to_json(record))
