"""What the stages that train have in common: config -> kd_tf."""

import importlib.util
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kd_tf.data.augmentation import Augmentation
from kd_tf.data.streaming import (
    Normalization,
    Preprocessing,
    evaluation_stream,
    training_stream,
)
from kd_tf.models import build_model
from kd_tf.models.graph import is_symbolic, named_layers
from kd_tf.models.loading import check_model, load_model
from kd_tf.models.log_mel import LogMel
from kd_tf.results import TrainingRecord
from kd_tf.schedules import record_schedule
from kd_tf.training.checkpoints import EpochCheckpoint
from kd_tf.training.fit import fit_resumably
from kd_tf.training.progress import ProgressLines
from pipelines.config.schema import Network
from pipelines.state import Run

_INSTEAD_OF_0 = 2**31  # greater than a config's seeds


def start(run: Run) -> None:
    """Makes what follows depend on the seeds alone, not on what ran before."""
    keras.utils.clear_session()
    # TensorFlow cannot shuffle by a tensor under the seed 0.
    seed = run.config.seed_of("weights") or _INSTEAD_OF_0
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    # Every model is traced anew, which TensorFlow would warn about.
    tf.get_logger().setLevel("ERROR")


def build_or_load(run: Run, network: Network, title: str) -> keras.Model:
    """The model that a section of the config asks for, fit for the data.

    Args:
        run: The run.
        network: Section of the config.
        title: What messages call the model.

    Raises:
        ValueError: if it cannot be had, or does not fit the data.
    """
    if network.path:
        model = load_model(network.path)
    elif network.model:
        model = build_model(
            network.model,
            tuple(run.data.example_shape),
            run.num_outputs,
            **network.arguments,
        )
    _check_fit(run, model, title)
    _check_sample_rate(model, run.data.sample_rate)
    return model


def train(
    run: Run,
    trainer: keras.Model,
    model: keras.Model,
    scratch: str,
    *,
    label: str,
    epochs: int,
    learning_rate: float,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    variables: Sequence[Any] = (),
    first_eligible_epoch: int = 0,
    schedules: Mapping[str, Callable[[Any], Any]] | None = None,
) -> TrainingRecord:
    """Trains resumably and leaves the best epoch's weights in the model.

    Args:
        run: The run.
        trainer: Model to fit: the model itself, or a `Distiller` around it.
        model: Model whose weights are kept.
        scratch: Folder for the checkpoints.
        label: What log lines call the training.
        epochs: Number of epochs.
        learning_rate: Rate of the first step; it falls to 0 along a cosine.
        callbacks: Callbacks that come before the checkpoint.
        variables: Further variables without which training cannot go on.
        first_eligible_epoch: Earlier epochs, from 0, cannot be the best.
        schedules: {quantity: schedule} of what else changes meanwhile.
    """
    steps = steps_per_epoch(run)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps * epochs)
    compile_model(run, trainer, keras.optimizers.Adam(rate))
    checkpoint = EpochCheckpoint(
        scratch,
        model,
        score=run.task.score,
        variables=variables,
        first_eligible_epoch=first_eligible_epoch,
    )
    fit_resumably(
        trainer,
        checkpoint,
        epochs=epochs,
        training_data=lambda left: _training_data(run, left),
        validation_data=evaluation_data(run, "validation"),
        # Masks come first, so that what is kept is what was masked.
        callbacks=[
            *callbacks,
            checkpoint,
            ProgressLines(label, checkpoint, score=f"val_{run.task.score}"),
            *_tensorboard(run, label),
        ],
    )
    best_epoch = checkpoint.best_epoch
    assert best_epoch is not None  # `fit_resumably` has seen to it
    best = checkpoint.history[best_epoch]
    return TrainingRecord(
        validation_score=best[f"val_{run.task.score}"],
        parameters=model.count_params(),
        history=checkpoint.history,
        best_epoch=best_epoch + 1,
        schedules={
            quantity: record_schedule(
                schedule, num_steps=steps * epochs, steps_per_epoch=steps
            )
            for quantity, schedule in {
                "learning rate": rate,
                **(schedules or {}),
            }.items()
        },
    )


def score(run: Run, model: keras.Model) -> TrainingRecord:
    """Scores a model that was loaded, on the validation split.

    Raises:
        ValueError: if its loss is not finite.
    """
    compile_model(run, model, "adam")
    logs = model.evaluate(
        evaluation_data(run, "validation"), return_dict=True, verbose=0
    )
    if not math.isfinite(logs["loss"]):
        raise ValueError(
            "The model's loss on the validation split is not finite. Hand in "
            "a model with finite outputs for every example. Received: "
            f"loss={logs['loss']}"
        )
    return TrainingRecord(logs[run.task.score], model.count_params())


def save(model: keras.Model, name: str, scratch: str) -> dict[str, str]:
    """Writes a model as an artefact: {name in the run folder: path}."""
    path = os.path.join(scratch, f"{name}.keras")
    model.save(path)
    # Again without the optimizer, whose state is twice the weights.
    load_model(path).save(path)
    return {f"models/{name}.keras": path}


def compile_model(run: Run, model: keras.Model, optimizer: Any) -> None:
    """Compiles a model with the task's loss and metrics."""
    model.compile(
        optimizer,
        run.task.label_loss(
            **run.config.labels.model_dump(),
            mixed="mixup" in _augmentations(run),
        ),
        metrics=run.task.metrics(run.num_outputs),
    )


def evaluation_data(run: Run, split: str) -> tf.data.Dataset:
    """Batches of a split, once, as models see them."""
    return evaluation_stream(
        run.split(split),
        _preprocessing(run),
        batch_size=run.config.data.batch_size,
    )


def predict_function(run: Run, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Function from raw examples (n, ...) to a variant's outputs.

    Values of a regression are in the units of its targets, as those of its
    files are.
    """
    model = load_model(run.model_path(name))
    normalize = normalization(run)
    moments = run.data.target_moments

    def predict(examples: np.ndarray) -> np.ndarray:
        outputs = model.predict_on_batch(normalize(examples))
        if moments is None:
            return outputs
        return outputs * moments.std + np.array(moments.mean)

    return predict


def steps_per_epoch(run: Run) -> int:
    """Steps of one epoch."""
    return -(-run.split("train").count // run.config.data.batch_size)


def normalization(run: Run) -> Normalization:
    """What models see of an example."""
    return Normalization(**run.config.data.scale(run.data.feature_moments))


def _preprocessing(run: Run) -> Preprocessing:
    moments, chosen = run.data.target_moments, _augmentations(run)
    return Preprocessing(
        normalization(run),
        Normalization(moments.mean, moments.std) if moments else None,
        Augmentation(run.num_outputs, **chosen) if chosen else None,
    )


def _training_data(run: Run, epochs: range) -> tuple[tf.data.Dataset, int]:
    return training_stream(
        run.split("train"),
        _preprocessing(run),
        batch_size=run.config.data.batch_size,
        epochs=epochs,
        order_seed=run.config.seed_of("order"),
        augmentation_seed=run.config.seed_of("augmentation"),
    )


def _augmentations(run: Run) -> dict[str, Any]:
    return run.config.data.augment.model_dump(exclude_none=True)


def _check_sample_rate(model: keras.Model, sample_rate: int | None) -> None:
    layers = named_layers(model).values() if is_symbolic(model) else ()
    for layer in layers:
        if not isinstance(layer, LogMel) or sample_rate is None:
            continue
        expected = layer.get_config()["sample_rate"]
        if expected != sample_rate:
            raise ValueError(
                "A front end expects recordings at another rate. Set "
                f"args.log_mel.sample_rate: {sample_rate}, and high_hz below "
                f"half of it. Received: {expected}"
            )


def _check_fit(run: Run, model: keras.Model, title: str) -> None:
    # No more than a batch at once: scenes and big models fill the memory.
    batch_size = run.config.data.batch_size
    raw = run.split("validation").examples()[:batch_size]
    examples = normalization(run)(raw)
    if examples.shape != raw.shape:
        raise ValueError(
            "data.mean and data.std do not fit the examples. Write one "
            f"number, or one for each channel, {raw.shape[-1]} here. "
            f"Received: mean={run.config.data.mean}, "
            f"std={run.config.data.std}"
        )
    output_shape = run.task.output_shape(
        run.data.example_shape, run.num_outputs
    )
    is_logits = run.task.output_name == "logits"
    check_model(
        model,
        examples,
        output_shape=output_shape,
        name=title,
        logits=is_logits,
    )


def _tensorboard(run: Run, label: str) -> list[keras.callbacks.Callback]:
    if not run.config.tensorboard:
        return []
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            "TensorBoard's logs need its package: pip install tensorboard, "
            "or set tensorboard: false. Received: tensorboard: true, and no "
            "such package"
        )
    folder = run.workdir.file(f"tensorboard/{label}")
    return [keras.callbacks.TensorBoard(folder, write_graph=False)]
