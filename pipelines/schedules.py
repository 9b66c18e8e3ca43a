"""What a config moves while stages train, for the report to draw."""

from pipelines.config.losses import Ramp


def schedules(config):
    """Every quantity that does not stand still.

    Args:
        config: `Config`.

    Returns:
        {quantity: {stage: dict of `start`, `end`, `shape`, the `ramp_epochs`
        it takes and the `epochs` of the stage}}, as
        `kd_tf.reporting.training.schedule_picture` takes them.
    """
    trainings = {
        "teach": config.teacher,
        "control": config.student,
        "distill": config.student,
        "prune": config.prune,
    }
    found = {
        "learning rate": {
            stage: _schedule(budget.learning_rate, 0.0, "cosine", budget.epochs)
            for stage, budget in trainings.items()
        }
    }
    ramps = _ramps(config.distill) if config.teacher.enabled else {}
    for quantity, ramp in ramps.items():
        found[quantity] = {
            stage: _schedule(
                ramp.start,
                ramp.end,
                ramp.shape,
                trainings[stage].epochs,
                ramp.epochs,
            )
            for stage in ("distill", "prune")
        }
    prune = config.prune
    found["sparsity"] = {
        "prune": _schedule(
            0.0, prune.sparsity, "cubic", prune.epochs, prune.ramp_epochs
        )
    }
    return found


def _schedule(start, end, shape, epochs, ramp_epochs=None):
    return {
        "start": start,
        "end": end,
        "shape": shape,
        "epochs": epochs,
        "ramp_epochs": ramp_epochs or epochs,
    }


def _ramps(distill):
    """{quantity in words: `Ramp`} of all that a distillation moves."""
    values = {
        "temperature": distill.temperature,
        "student weight": distill.student_weight,
    }
    for number, loss in enumerate(distill.losses, 1):
        for key, value in loss:
            values[f"{key} of loss {number}, {loss.name}"] = value
    return {k: v for k, v in values.items() if isinstance(v, Ramp)}
