"""What the stages that train have in common."""

import dataclasses
import importlib.util
import math
import os

import keras
import numpy as np
import tensorflow as tf

import kd_tf
from kd_tf import schedules
from kd_tf.data.augmentation import Augmentation
from kd_tf.data.splitting.splits import Split
from kd_tf.data.streaming import (
    Normalization,
    evaluation_stream,
    training_stream,
)
from kd_tf.tasks import TASKS
from kd_tf.tasks.objectives import label_loss, score_metrics
from kd_tf.training.progress import ProgressLines
from pipelines.config.losses import LOSS_ARGUMENTS, Ramp


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
    _check_rate(network, found["sample_rate"])
    return kd_tf.build_model(
        network.model,
        found["example_shape"],
        len(found["class_names"]),
        **network.args,
    )


def _check_rate(network, sample_rate):
    front_end = network.args.get("log_mel")
    if sample_rate and front_end and front_end["sample_rate"] != sample_rate:
        raise ValueError(
            "A front end hears the recordings at another rate. Allowed: "
            f"args.log_mel.sample_rate: {sample_rate}, and high_hz below "
            f"half of it. Received: {front_end['sample_rate']}"
        )


def check(model, name, config, workdir):
    """Refuses a model that does not fit the data, before time is spent."""
    found = workdir.record("prepare")["result"]
    # No more than a batch at once: scenes and big models fill the memory.
    raw = _split(workdir, "validation").examples()[: config.data.batch_size]
    examples = normalization(config, workdir)(raw)
    if examples.shape != raw.shape:
        raise ValueError(
            "data.mean and data.std do not fit the examples. Allowed: one "
            f"number, or one a channel, {raw.shape[-1]} here. Received: "
            f"mean={config.data.mean}, std={config.data.std}"
        )
    answer_shape = (len(found["class_names"]),)
    if TASKS[config.task].per_pixel:
        answer_shape = (*found["target_shape"], *answer_shape)
    classes = not TASKS[config.task].has_values
    kd_tf.check_model(model, examples, answer_shape, name, logits=classes)


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
    _compile(distiller, "adam", config, workdir)
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


def train(
    stage, trainer, student, budget, config, workdir, scratch, pruning=None
):
    """Trains resumably and leaves the best epoch's weights in the student.

    Args:
        stage: Name of the stage, for the lines told on the way.
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
    score = TASKS[config.task].score
    steps = training_steps(config, workdir)
    schedule = keras.optimizers.schedules.CosineDecay(
        budget.learning_rate, steps * budget.epochs
    )
    _compile(trainer, keras.optimizers.Adam(schedule), config, workdir)
    checkpoint = kd_tf.EpochCheckpoint(
        scratch,
        student,
        score=score,
        also=[
            *(pruning.variables if pruning else ()),
            *_variables_of_adapters(trainer, student),
        ],
        first_eligible_epoch=budget.ramp_epochs if pruning else 0,
    )
    first_epoch = checkpoint.resume(trainer)
    stream, steps = training_stream(
        _split(workdir, "train"),
        normalization(config, workdir),
        batch_size=config.data.batch_size,
        seed=config.seed,
        epochs=budget.epochs,
        first_epoch=first_epoch,
        augment=_augmentation(config, workdir),
        normalize_targets=_normalization_of_targets(workdir),
    )
    if first_epoch < budget.epochs:
        trainer.fit(
            stream,
            steps_per_epoch=steps,
            initial_epoch=first_epoch,
            epochs=budget.epochs,
            shuffle=False,  # the stream is shuffled already
            verbose=0,
            validation_data=evaluation(config, workdir, "validation"),
            # Masks come first, so that what is kept is what was masked.
            callbacks=[
                *([pruning] if pruning else []),
                checkpoint,
                ProgressLines(stage, checkpoint, f"val_{score}"),
                *_tensorboard(stage, config, workdir),
            ],
        )
    checkpoint.restore_best()
    best = checkpoint.history[checkpoint.best_epoch]
    return {
        "history": checkpoint.history,
        "best_epoch": checkpoint.best_epoch + 1,
        "validation_score": best[f"val_{score}"],
        "parameters": student.count_params(),
        **_cost_of_adapters(trainer, student),
    }


def score(model, config, workdir):
    """Measures a model that was handed in, on validation.

    Raises:
        ValueError: if its loss is no number.
    """
    _compile(model, "adam", config, workdir)
    found = model.evaluate(
        evaluation(config, workdir, "validation"), return_dict=True, verbose=0
    )
    if not math.isfinite(found["loss"]):
        raise ValueError(
            f"The model's loss on validation is no number. Allowed: finite "
            f"answers for every example. Received: loss={found['loss']}"
        )
    return {
        "validation_score": found[TASKS[config.task].score],
        "validation_loss": found["loss"],
        "parameters": model.count_params(),
    }


def save(model, name, scratch):
    """Writes a model as an artefact: {name in the run folder: path}."""
    path = os.path.join(scratch, f"{name}.keras")
    model.save(path)
    # Again without the optimizer, whose state is twice the weights.
    kd_tf.load_model(path).save(path)
    return {f"models/{name}.keras": path}


def load(workdir, name):
    return kd_tf.load_model(workdir.file(f"models/{name}.keras"))


def evaluation(config, workdir, split):
    return evaluation_stream(
        _split(workdir, split),
        normalization(config, workdir),
        batch_size=config.data.batch_size,
        normalize_targets=_normalization_of_targets(workdir),
    )


def predict_function(config, workdir, name):
    """Function from raw examples (n, ...) to a model's answers.

    A regression's answers are in the units of its targets, as those of its
    files are.
    """
    model = load(workdir, name)
    normalize = normalization(config, workdir)
    values = workdir.record("prepare")["result"]["targets"]

    def answer(examples):
        answers = model.predict_on_batch(normalize(examples))
        if values is None:
            return answers
        return answers * values["std"] + np.array(values["mean"])

    return answer


def training_steps(config, workdir):
    """Steps an epoch."""
    return -(-_split(workdir, "train").count // config.data.batch_size)


def normalization(config, workdir):
    """What models see of an example."""
    found = workdir.record("prepare")["result"]["examples_scale"]
    return Normalization(**config.data.scale(found))


def _normalization_of_targets(workdir):
    values = workdir.record("prepare")["result"]["targets"]
    return Normalization(**values) if values else None


def _augmentation(config, workdir):
    chosen = config.data.augment.model_dump(exclude_none=True)
    if not chosen:
        return None
    found = workdir.record("prepare")["result"]
    return Augmentation(len(found["class_names"]), **chosen)


def _compile(model, optimizer, config, workdir):
    found = workdir.record("prepare")["result"]
    model.compile(
        optimizer,
        label_loss(
            config.task,
            dice_weight=config.labels.dice_weight,
            label_smoothing=config.labels.smoothing,
            shares=config.data.augment.mixup is not None,
        ),
        metrics=score_metrics(config.task, len(found["class_names"])),
    )


def _tensorboard(stage, config, workdir):
    if not config.tensorboard:
        return []
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            "TensorBoard's logs need its package. Allowed: pip install "
            "tensorboard, or tensorboard: false. Received: tensorboard: true, "
            "and no such package"
        )
    folder = workdir.file(f"tensorboard/{stage}")
    return [keras.callbacks.TensorBoard(folder, write_graph=False)]


def _variables_of_adapters(trainer, student):
    if trainer is student:
        return []
    return [
        v for bound_loss in trainer.bound_losses for v in bound_loss.variables
    ]


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
