"""Every loss of the table as a function of two tensors, for batteries."""

import functools
import inspect

import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation.loss_table import LOSSES


def of_two_tensors(name):
    """The loss of a row; it takes `mask` where the row's function does."""
    spec = LOSSES[name]
    loss, parameters = spec.load(), inspect.signature(spec.load()).parameters
    if spec.num_layers == 2:
        return lambda student, teacher, **mask: loss(
            (student, student[..., :2]), (teacher, teacher[..., :2]), **mask
        )
    if "raw_variance" in parameters:
        return lambda student, teacher, **mask: loss(
            student, teacher, tf.ones(student.shape[-1]), **mask
        )
    if "labels" not in parameters:
        return loss
    if spec.outputs == "values":
        return lambda student, teacher: loss(
            student, teacher, labels=tf.stop_gradient(teacher) + 0.1
        )
    return lambda student, teacher: loss(
        student, teacher, labels=tf.argmax(teacher, axis=-1)
    )


def rows(*names, **of_knowledge):
    """{name: loss}: those named, or those of a knowledge."""
    names = names or [
        name
        for name, spec in LOSSES.items()
        if spec.knowledge in of_knowledge.get("knowledge", spec.knowledge)
    ]
    return {name: of_two_tensors(name) for name in names}


def over(table):
    return pytest.mark.parametrize("loss", table.values(), ids=table)


def normal(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype("f")


def value_and_gradient(loss, student, teacher, **arguments):
    """Mean of a loss, as it is trained, and its gradient to the student."""
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss = functools.partial(loss, **arguments)
        mean = tf.reduce_mean(loss(student, tf.constant(teacher)))
    return mean.numpy(), tape.gradient(mean, student).numpy()
