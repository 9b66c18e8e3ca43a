import keras
import numpy as np
import tensorflow as tf

from kd_tf.distillation.teachers.frozen import FrozenTeacher

X = np.random.default_rng(0).normal(size=(8, 4)).astype("f")


def model():
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, name="hidden"),
            keras.layers.Dropout(0.9, seed=1),
            keras.layers.Dense(3),
        ]
    )


def test_frozen_teacher_runs_in_inference_mode():
    teacher = model()
    forward = FrozenTeacher(teacher)(X)
    np.testing.assert_allclose(forward.outputs, teacher(X, training=False))
    assert not forward.training


def test_input_is_prepared_for_the_teacher():
    teacher = model()
    forward = FrozenTeacher(teacher, prepare=lambda x: 2 * x)(X)
    np.testing.assert_allclose(forward.outputs, teacher(2 * X), rtol=1e-5)


def test_no_gradient_goes_through_outputs_and_activations():
    frozen, x = FrozenTeacher(model(), ["hidden"]), tf.constant(X)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        forward = frozen(x)
    assert list(forward.activations) == ["hidden"]
    assert tape.gradient(forward.outputs, x) is None
    assert tape.gradient(forward.activations["hidden"], x) is None
