"""The sections of a run's page, in order; what was not measured has none."""

from functools import partial

from kd_tf.reporting import tables
from kd_tf.reporting.answers import answers_sections
from kd_tf.reporting.layout import Section, Table
from kd_tf.reporting.tradeoff import tradeoff_pictures
from kd_tf.reporting.training import (
    ROLES,
    schedule_picture,
    training_pictures,
)
from kd_tf.tasks import TASKS


def sections(results, rows, verification):
    """All sections that there is something to say in.

    Args:
        results: As `kd_tf.write_report` takes them.
        rows: Rows of `kd_tf.reporting.tables.result_rows`.
        verification: Folder with `curves.npz` and `shown.npz`, or None.

    Returns:
        List of `Section`.
    """
    stages = results["stages"]
    title = TASKS[stages["prepare"]["task"]].title
    found = [
        Section("Score and cost", pictures=tradeoff_pictures(rows, title)),
        *answers_sections(stages, verification),
        _training(stages),
        _schedules(results),
        _first_step(stages.get("distill", {})),
        _pruning(stages.get("prune", {})),
        _data(stages["prepare"]),
    ]
    return [section for section in found if not section.is_empty]


def _training(stages):
    task = TASKS[stages["prepare"]["task"]]
    pictures = []
    for stage in ROLES:
        result = stages.get(stage, {})
        if result.get("history"):
            pictures += training_pictures(stage, result, task.score, task.title)
    return Section("Training", pictures=pictures)


def _schedules(results):
    pictures = []
    for quantity, schedules in results.get("schedules", {}).items():
        trained = {
            stage: schedule
            for stage, schedule in schedules.items()
            if results["stages"].get(stage, {}).get("history")
        }
        if trained:
            pictures.append(schedule_picture(quantity, trained))
    return Section("Schedules", pictures=pictures)


def _first_step(distilled):
    diagnosis = distilled.get("diagnosis")
    if not diagnosis:
        return Section("Distillation at its first step")
    text = [f"{diagnosis['summary']}."]
    adapters = distilled.get("adapter_parameters")
    if adapters:
        text.append(f"Adapters: {adapters:,} parameters, dropped at the end.")
    nothing = ("Nothing that would call for a remedy.",)
    return Section(
        "Distillation at its first step",
        tuple(text),
        tuple(diagnosis["findings"]) or nothing,
    )


def _pruning(pruned):
    record = pruned.get("pruning")
    if not record:
        return Section("Pruning")
    make = partial(tables.sparsity_table, record)
    share = f"{100 * record['sparsity']:.1f} % of all weights are zero."
    return Section("Pruning", (share,), tables=(Table(make, "Every layer"),))


def _data(prepared):
    found = []
    if "examples" in prepared:
        found.append(Table(partial(tables.examples_table, prepared)))
    skipped = prepared.get("skipped", [])
    if skipped:
        make = partial(tables.as_table, skipped, ["example", "why"])
        found.append(
            Table(make, f"Told of the data and gone on: {len(skipped)}")
        )
    return Section("Data", tables=tuple(found))
