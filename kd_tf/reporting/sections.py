"""The sections of a run's page, in order; what was not measured has none."""

import os
from collections.abc import Sequence

from kd_tf.reporting.layout import Section, Table
from kd_tf.reporting.looks import look
from kd_tf.reporting.predictions import prediction_sections
from kd_tf.reporting.rows import Row
from kd_tf.reporting.schedules import schedule_pictures
from kd_tf.reporting.tables import examples_table, sparsity_table
from kd_tf.reporting.tradeoff import Point, tradeoff_pictures
from kd_tf.reporting.training import training_pictures
from kd_tf.results import DataRecord, Results, TrainingRecord, Variant
from kd_tf.tasks import get_task


def report_sections(
    results: Results,
    rows: Sequence[Row],
    verification: str | os.PathLike[str] | None,
) -> list[Section]:
    """Makes all sections that have something in them.

    Args:
        results: A finished run.
        rows: Rows of `result_rows`.
        verification: Folder with `curves.npz` and `shown.npz`, or None.
    """
    predictions = (
        []
        if verification is None
        else prediction_sections(results, verification)
    )
    sections = [
        _score_and_cost(results, rows),
        *predictions,
        Section("Training", pictures=training_pictures(results)),
        Section("Schedules", pictures=schedule_pictures(results)),
        *_first_steps(results),
        *_compressions(results),
        _data(results.data),
    ]
    return [section for section in sections if not section.is_empty]


def _score_and_cost(results: Results, rows: Sequence[Row]) -> Section:
    points = [
        Point(row["model"], look(position).color, look(position).marker, row)
        for position, row in enumerate(rows)
    ]
    title = get_task(results.data.task).title
    return Section("Score and cost", pictures=tradeoff_pictures(points, title))


def _first_steps(results: Results) -> list[Section]:
    return [
        _first_step(variant, results.trainings[variant.name])
        for variant in results.variants
        if variant.name in results.trainings
    ]


def _first_step(variant: Variant, training: TrainingRecord) -> Section:
    heading = f"First step of distillation: {variant.title}"
    diagnosis = training.diagnosis
    if diagnosis is None:
        return Section(heading)
    text = [f"{diagnosis.summary}."]
    count = training.adapter_parameters
    if count:
        text.append(f"Adapters: {count:,} parameters, dropped at the end.")
    findings = diagnosis.findings or ["Nothing that calls for a remedy."]
    return Section(heading, text, findings)


def _compressions(results: Results) -> list[Section]:
    sections = []
    for variant in results.variants:
        record = results.compressions.get(variant.name)
        if record:
            share = f"{100 * record.sparsity:.1f} % of all weights are zero."
            heading = f"Compression: {variant.title}"
            tables = [sparsity_table(record)]
            sections.append(Section(heading, [share], tables=tables))
    return sections


def _data(data: DataRecord) -> Section:
    tables = [examples_table(data)]
    if data.skipped:
        summary = f"Examples left out: {len(data.skipped)}"
        tables.append(Table(["example", "why"], data.skipped, summary))
    return Section("Data", tables=tables)
