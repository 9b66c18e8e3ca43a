"""What the stages that train have in common."""

import dataclasses
import math
import os

import keras
import tensorflow as tf

import kd_tf
from kd_tf import schedules
from kd_tf.data.splits import Split
from kd_tf.data.streaming import (
    Normalization,
    evaluation_stream,
    training_stream,
)
from pipelines.config_losses import LOSS_ARGUMENTS, Ramp

_CHECKED_EXAMPLES = 256


def start(config):
    """Makes what follows depend on the seed alone, not on what ran before."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(config.seed)
    tf.config.experimental.enable_op_determinism()
    # Every model is traced anew, which TensorFlow would warn about.
    tf.get_logger().setLevel("ERROR")


def build(network, workdir):
    """A new model as the config describes it, fit for the data."""
    found = workdir.record("prepare")["result"]
    return kd_tf.build_model(
        network.model,
        found["example_shape"],
        len(found["class_names"]),
        **network.args,
    )


def check(model, name, config, workdir):
    """Refuses a model that does not fit the data, before time is spent."""
    found = workdir.record("prepare")["result"]
    images = _split(workdir, "validation").images()[:_CHECKED_EXAMPLES]
    examples = _normalization(config)(images)
    if examples.shape != images.shape:
        raise ValueError(
            "data.mean and data.std do not fit the images. Allowed: one "
            f"number, or one a channel, {images.shape[-1]} here. Received: "
            f"mean={config.data.mean}, std={config.data.std}"
        )
    kd_tf.check_classifier(model, examples, len(found["class_names"]), name)


def under_teacher(student, config, workdir):
    """The student with its teacher, or alone where there is none."""
    if not config.teacher.enabled:
        return student
    steps = training_steps(config, workdir)
    return kd_tf.Distiller(
        student,
        load(workdir, "teacher"),
        [_term(loss, config.distill, steps) for loss in config.distill.losses],
        student_weight=_scheduled(config.distill.student_weight, steps),
    )


def diagnose(distiller, config, workdir):
    """What a distillation starts from, on validation, as JSON."""
    _compile(distiller, "adam")
    diagnosis = distiller.diagnose(evaluation(config, workdir, "validation"))
    return {"summary": diagnosis.summary(), **dataclasses.asdict(diagnosis)}


def _term(loss, distill, steps):
    arguments = {
        key: _scheduled(getattr(loss, key), steps)
        for key in ("temperature", "alpha", "beta", "gamma", "margin")
        if getattr(loss, key) is not None
    }
    # Between layers and examples temperature means something else.
    compares_answers = "transform" in LOSS_ARGUMENTS.get(loss.name, ())
    if compares_answers and "temperature" in LOSS_ARGUMENTS[loss.name]:
        arguments.setdefault(
            "temperature", _scheduled(distill.temperature, steps)
        )
    return kd_tf.LossTerm(
        loss.name,
        weight=_scheduled(loss.weight, steps),
        pairs=loss.pairs,
        transform=loss.transform,
        **arguments,
        **(loss.args or {}),
    )


def _scheduled(value, steps):
    """A number, or the schedule that a `Ramp` describes."""
    if not isinstance(value, Ramp):
        return value
    schedule = {"linear": schedules.linear, "cosine": schedules.cosine}
    return schedule[value.shape](value.start, value.end, value.epochs * steps)


def train(trainer, student, budget, config, workdir, scratch, pruning=None):
    """Trains resumably and leaves the best epoch's weights in the student.

    Args:
        trainer: Model to fit: the student, or a `Distiller` around it.
        student: Model whose weights are wanted.
        budget: Section of the config with `epochs` and `learning_rate`.
        config: `Config`.
        workdir: `Workdir`.
        scratch: Folder for the checkpoints.
        pruning: `MagnitudePruning`; the best epoch is then one of those after
            its final sparsity is reached.

    Returns:
        Result: history, best epoch (from 1), its validation scores.
    """
    steps = training_steps(config, workdir)
    schedule = keras.optimizers.schedules.CosineDecay(
        budget.learning_rate, steps * budget.epochs
    )
    _compile(trainer, keras.optimizers.Adam(schedule))
    checkpoint = kd_tf.EpochCheckpoint(
        scratch,
        student,
        also=[
            *(pruning.variables if pruning else ()),
            *_variables_of_adapters(trainer, student),
        ],
        first_eligible_epoch=budget.ramp_epochs if pruning else 0,
    )
    first_epoch = checkpoint.resume(trainer)
    stream, steps = training_stream(
        _split(workdir, "train"),
        _normalization(config),
        batch_size=config.data.batch_size,
        seed=config.seed,
        epochs=budget.epochs,
        first_epoch=first_epoch,
    )
    if first_epoch < budget.epochs:
        trainer.fit(
            stream,
            steps_per_epoch=steps,
            initial_epoch=first_epoch,
            epochs=budget.epochs,
            shuffle=False,  # the stream is shuffled already
            validation_data=evaluation(config, workdir, "validation"),
            # Masks come first, so that what is kept is what was masked.
            callbacks=[*([pruning] if pruning else []), checkpoint],
        )
    checkpoint.restore_best()
    best = checkpoint.history[checkpoint.best_epoch]
    return {
        "history": checkpoint.history,
        "best_epoch": checkpoint.best_epoch + 1,
        "validation_accuracy": best["val_accuracy"],
        "parameters": student.count_params(),
        **_cost_of_adapters(trainer, student),
    }


def score(model, config, workdir):
    """Measures a model that was handed in, on validation.

    Raises:
        ValueError: if its loss is no number.
    """
    _compile(model, "adam")
    found = model.evaluate(
        evaluation(config, workdir, "validation"), return_dict=True, verbose=0
    )
    if not math.isfinite(found["loss"]):
        raise ValueError(
            f"The model's loss on validation is no number. Allowed: finite "
            f"logits for every example. Received: loss={found['loss']}"
        )
    return {
        "validation_accuracy": found["accuracy"],
        "validation_loss": found["loss"],
        "parameters": model.count_params(),
    }


def save(model, name, scratch):
    """Writes a model as an artefact: {name in the run folder: path}."""
    path = os.path.join(scratch, f"{name}.keras")
    model.save(path)
    # Again without the optimizer, whose state is twice the weights.
    kd_tf.load_classifier(path).save(path)
    return {f"models/{name}.keras": path}


def load(workdir, name):
    return kd_tf.load_classifier(workdir.file(f"models/{name}.keras"))


def evaluation(config, workdir, split):
    return evaluation_stream(
        _split(workdir, split),
        _normalization(config),
        batch_size=config.data.batch_size,
    )


def training_steps(config, workdir):
    """Steps an epoch."""
    count = len(_split(workdir, "train").labels())
    return -(-count // config.data.batch_size)


def _compile(model, optimizer):
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def _variables_of_adapters(trainer, student):
    if trainer is student:
        return []
    return [v for transfer in trainer.transfers for v in transfer.variables]


def _cost_of_adapters(trainer, student):
    """What the losses look at, for the record; nothing without a teacher."""
    if trainer is student:
        return {}
    return {
        "adapter_parameters": trainer.adapter_parameters,
        "pairs": trainer.pairs,
    }


def _split(workdir, name):
    return Split.in_folder(workdir.file("data"), name)


def _normalization(config):
    return Normalization(config.data.mean, config.data.std)
