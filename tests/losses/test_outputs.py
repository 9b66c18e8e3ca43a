import numpy as np
import pytest
import tensorflow as tf

from kd_tf.losses.outputs import comparable_outputs


def test_outputs_become_float32_and_keep_their_values():
    student = np.array([[0.5, 2.0]], "float16")
    teacher = np.array([[1.5, -1.0]], "float64")
    outputs = comparable_outputs(student, teacher)
    assert [x.dtype for x in outputs] == ["float32", "float32"]
    np.testing.assert_array_equal(outputs[0], student)
    np.testing.assert_array_equal(outputs[1], teacher)


def test_teacher_gets_no_gradient():
    inputs = tf.constant([[1.0]]), tf.constant([[2.0]])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        product = tf.multiply(*comparable_outputs(*inputs))
    to_student, to_teacher = tape.gradient(product, inputs)
    np.testing.assert_array_equal(to_student, [[2]])
    assert to_teacher is None


@pytest.mark.parametrize("widths", [(1, 4), (4, 1), (3, 4)])
def test_unequal_widths_are_refused(widths):
    student, teacher = (np.zeros((2, width), "f") for width in widths)
    with pytest.raises(ValueError, match="same number of classes") as raised:
        comparable_outputs(student, teacher)
    assert f"student {student.shape}, teacher {teacher.shape}" in str(
        raised.value
    )
