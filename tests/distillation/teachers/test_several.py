"""Several teachers, none, and a model that teaches itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf import Distiller, LossTerm
from tests.distillation.cases import Counting
from tests.distillation.distiller_cases import (
    HINT,
    data,
    distil,
    evaluated,
    fitted,
    kernel,
    mlp,
    soft,
)


def test_each_loss_learns_from_the_teacher_that_it_names():
    student, teachers, (x, y) = mlp(1), [mlp(2), mlp(3, width=7)], data()
    losses = [
        LossTerm("soft_targets", teacher=0, name="first"),
        LossTerm("soft_targets", teacher=1, name="second"),
        LossTerm("hint", teacher=1, pairs=HINT.pairs),
    ]
    distiller = distil(losses, models=(student, teachers))
    assert distiller.teacher == teachers
    logs = evaluated(distiller, x, y)
    for name, teacher in zip(("first", "second"), teachers, strict=True):
        by_hand = soft(student(x), teacher(x))
        assert logs[name] == pytest.approx(by_hand, rel=1e-5)
    assert distiller.adapter_parameters == 5 * 7 + 7
    assert np.isfinite(fitted(distiller)["loss"]).all()


@pytest.mark.parametrize(
    ("teacher", "loss", "message"),
    [
        ("two", "soft_targets", "must name its teacher.*Allowed: 0, 1"),
        ("two", LossTerm("soft_targets", teacher=2), "Received: teacher=2"),
        ("one", LossTerm("soft_targets", teacher=0), "Leave `teacher` out"),
        (None, HINT, "compares layers, and there is no teacher"),
        ([], "soft_targets", "at least one teacher"),
    ],
)
def test_unclear_teachers_are_refused(teacher, loss, message):
    given = {"two": [mlp(2), mlp(3)], "one": mlp(2)}
    if isinstance(teacher, str):
        teacher = given[teacher]
    with pytest.raises(ValueError, match=message):
        Distiller(mlp(1), teacher, loss)


def test_outputs_of_a_teacher_may_come_with_the_data():
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    stored = np.array(teacher(x))
    given = {"inputs": x, "teacher_outputs": stored}
    dataset = tf.data.Dataset.from_tensor_slices((given, y)).batch(6)
    logs = {
        who: evaluated(distil(models=(student, who and teacher)), batches)
        for who, batches in [
            (None, dataset),
            ("it", tf.data.Dataset.from_tensor_slices((x, y)).batch(6)),
        ]
    }
    assert logs[None] == pytest.approx(logs["it"], rel=1e-5)
    distiller = distil(models=(student, None))
    distiller.fit(dataset, verbose=0)
    np.testing.assert_allclose(
        distiller.predict(x, verbose=0), student(x), rtol=1e-5
    )
    with pytest.raises(ValueError, match=r'Give x as {"inputs": '):
        distiller.evaluate(x, y, verbose=0)


def exits(counter):
    x = keras.Input((4,))
    hidden = keras.layers.Dense(5, kernel_initializer=kernel(1))(counter(x))
    early = keras.layers.Dense(3, kernel_initializer=kernel(2), name="early")
    late = keras.layers.Dense(3, kernel_initializer=kernel(3), name="late")
    return keras.Model(x, {"early": early(hidden), "late": late(hidden)})


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # of the teacher
def test_exits_of_one_model_teach_each_other_in_one_pass():
    counter, (x, _) = Counting(), data()
    model = exits(counter)
    loss_term = LossTerm("soft_targets", output="early", teacher_output="late")
    distiller = Distiller(model, model, loss_term, student_weight=0)
    distiller.compile(keras.optimizers.SGD(0.1))
    outputs = model(x)
    by_hand = soft(outputs["early"], outputs["late"])
    late = model.get_layer("late").kernel.numpy()
    distiller.fit(x, batch_size=6, verbose=0)  # traces
    before = int(counter.passes)
    logs = distiller.fit(x, batch_size=6, verbose=0).history
    assert int(counter.passes) == before + 1
    assert 0 < logs["soft_targets_loss"][0] < by_hand
    # No gradient reaches the exit that teaches.
    np.testing.assert_array_equal(model.get_layer("late").kernel, late)


class MeanTeacher(keras.callbacks.Callback):
    """Moves a teacher's weights towards the student's."""

    def __init__(self, student, teacher):
        super().__init__()
        self.pairs = list(zip(teacher.weights, student.weights, strict=True))

    def on_train_batch_end(self, batch, logs=None):
        for mean, weight in self.pairs:
            mean.assign(0.75 * mean + 0.25 * weight)


def with_mean_teacher(seed):
    student = mlp(seed)
    teacher = keras.models.clone_model(student)
    teacher.set_weights(student.get_weights())
    teacher.trainable = False
    distiller = distil(models=(student, teacher))
    distiller.mean_teacher = teacher  # so that it is checkpointed
    return distiller, MeanTeacher(student, teacher)


def test_a_mean_teacher_is_checkpointed_with_the_rest(tmp_path):
    distiller, mean = with_mean_teacher(1)
    start = distiller.teacher.get_weights()[0]
    assert len(distiller.trainable_variables) == 4
    assert len(distiller.weights) == 8
    fitted(distiller, count=3, epochs=1, callbacks=[mean])
    end = distiller.student.get_weights()[0]
    moved = distiller.teacher.get_weights()[0]
    np.testing.assert_allclose(moved, 0.75 * start + 0.25 * end, rtol=1e-5)
    distiller.save_weights(tmp_path / "all.weights.h5")
    other, _ = with_mean_teacher(2)
    other.load_weights(tmp_path / "all.weights.h5")
    np.testing.assert_array_equal(other.teacher.get_weights()[0], moved)
    distiller.save(tmp_path / "student.keras")
    saved = keras.models.load_model(tmp_path / "student.keras")
    assert len(saved.weights) == 4
