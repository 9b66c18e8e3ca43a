"""Writes the pages, and releases the file or marks it as refused."""

import os
import shutil

from kd_tf.reporting.report import write_report
from kd_tf.results import Results
from pipelines.config.loading import dump_config
from pipelines.plan import STAGES, reason_disabled
from pipelines.provenance import environment
from pipelines.stages import artefacts_in
from pipelines.state import CANDIDATE, ReportResult, Run


def report(run: Run, scratch: str) -> tuple[dict[str, str], ReportResult]:
    """Leaves the pages and the `.tflite`."""
    results = gather_results(run)
    verification = None
    if results.limits is not None:
        verification = run.workdir.file("verification")
    pages = write_report(results, verification, scratch)
    file = "student.refused.tflite" if results.missed else "student.tflite"
    sealed = run.workdir.file(CANDIDATE)
    shutil.copyfile(sealed, os.path.join(scratch, file))
    artefacts = artefacts_in(scratch, "", [*pages, file])
    return artefacts, ReportResult(file, results.missed)


def gather_results(run: Run) -> Results:
    """The records of all finished stages as one."""
    records = {
        stage.name: run.result(stage.name)
        for stage in STAGES
        if stage.name != "report"
        and not reason_disabled(stage.name, run.config)
    }
    pruned, verified = records.get("prune"), records.get("verify")
    quantized = records.get("quantize")
    trainings = {
        variant.name: records[variant.made_by]
        for variant in run.models
        if variant.made_by != "prune"
    }
    compressions = {}
    if pruned:
        trainings[run.last_model] = pruned.training
        compressions[run.last_model] = pruned.compression
    return Results(
        name=run.config.name,
        seed=run.config.seed,
        environment=environment(),
        config=dump_config(run.config),
        variants=run.variants,
        released=run.released,
        reference=run.reference,
        data=records["prepare"],
        trainings=trainings,
        compressions=compressions,
        quantizations=quantized.quantizations if quantized else {},
        not_made={
            **records["export"].not_made,
            **(quantized.not_made if quantized else {}),
        },
        model_scores=verified.model_scores if verified else {},
        file_scores=verified.file_scores if verified else {},
        costs=records.get("benchmark", {}),
        limits=verified.limits if verified else None,
        seconds={
            name: run.workdir.finished(name)["seconds"] for name in records
        },
    )
