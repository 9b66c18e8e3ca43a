"""What a diagnosis counts: every form of data, and what is left out."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kd_tf import Distiller, LossTerm
from kd_tf.distillation.diagnosis import diagnose

LABEL_LOSS = keras.losses.SparseCategoricalCrossentropy(
    from_logits=True, ignore_class=255
)
RIGHT = np.array([[4, 0, 0], [0, 4, 0], [0, 0, 4]], "f")  # class i for input i
WRONG = np.roll(RIGHT, 1, axis=1)


def dense(kernel, shape=()):
    """A linear model at every position of a grid."""
    layer = layers.Dense(3, use_bias=False)
    model = keras.Sequential([keras.Input((*shape, 3)), layer])
    model.set_weights([kernel])
    return model


def distil(student, teacher, losses="soft_targets", *, weight=0.3, **options):
    distiller = Distiller(
        student=student, teacher=teacher, losses=losses, student_weight=weight
    )
    distiller.compile(**{"optimizer": "sgd", "loss": LABEL_LOSS, **options})
    return distiller


def linear(shape=(), **options):
    return distil(dense(WRONG, shape), dense(RIGHT, shape), **options)


def one_hot(classes):
    return np.eye(3, dtype="f")[classes]


def findings(diagnosis, about):
    return [sentence for sentence in diagnosis.findings if about in sentence]


CLASSES = np.array([0, 1, 2, 0])


def test_share_of_the_most_frequent_class_is_that_by_hand():
    x, y = one_hot([0, 1, 2, 0, 0]), np.array([0, 1, 1, 0, 2])
    # 0 and 1 twice of five labels, whatever the models predict.
    diagnosis = diagnose(linear(), x, y, batch_size=2)
    assert diagnosis.majority_share == pytest.approx(0.4)
    assert diagnosis.accuracy["teacher"] == pytest.approx(0.6)
    assert "most frequent class 40.0%" in diagnosis.summary()


def test_teacher_at_chance_is_found_where_the_student_is_worse():
    # Always class 0, which 40 of 100 labels have; the student is never right.
    constant = np.repeat(np.eye(3, dtype="f")[:1], 3, axis=0)
    y = np.repeat([0, 1, 2], [40, 30, 30])
    distiller = distil(dense(WRONG), dense(constant))
    diagnosis = diagnose(distiller, one_hot(y), y)
    assert diagnosis.accuracy == {"teacher": 0.4, "student": 0.0}
    [sentence] = findings(diagnosis, "little to learn")
    assert "most frequent class has 40.0%" in sentence


@pytest.mark.parametrize("ignored", [255, -1, 3])
def test_ignored_pixels_count_for_nothing(ignored):
    classes = np.array([[[0, 1], [2, 0]], [[1, 1], [0, 2]]])
    labels = classes.copy()
    labels[:, 0] = ignored  # half of them, where the perfect teacher is right
    distiller = linear((2, 2), weight=0, loss=None)
    diagnosis = diagnose(distiller, one_hot(classes), labels)
    assert diagnosis.accuracy == {"teacher": 1.0, "student": 0.0}
    # The labels left are 2, 0, 0, 2.
    assert diagnosis.majority_share == 0.5
    unsigned = labels.astype("uint8")
    if ignored == 255:
        again = diagnose(distiller, one_hot(classes), unsigned)
        assert again.accuracy == diagnosis.accuracy


def test_rows_of_zeros_are_ignored_pixels():
    classes = np.array([[[0, 1], [2, 0]]])
    labels = one_hot(classes)
    labels[:, 0] = 0
    distiller = linear((2, 2), weight=0, loss=None)
    diagnosis = diagnose(distiller, one_hot(classes), labels)
    assert diagnosis.accuracy["teacher"] == 1


def test_labels_that_are_all_ignored_are_found():
    diagnosis = diagnose(
        linear(weight=0, loss=None), one_hot(CLASSES), CLASSES + 3
    )
    assert (diagnosis.accuracy, diagnosis.majority_share) == ({}, None)
    [sentence] = findings(diagnosis, "all are ignored")
    assert "None of the 4 labels lies in [0, 3)" in sentence


def test_entropy_leaves_ignored_labels_out():
    # Uniform for input 2, else as good as one-hot.
    teacher = dense(np.diag([50.0, 50.0, 0.0]))
    losses = LossTerm("soft_targets", temperature=1)
    distiller = distil(dense(WRONG), teacher, losses, weight=0, loss=None)
    x = one_hot([0, 1, 2, 2])
    shares = [
        diagnose(distiller, x, np.array(labels)).teacher_entropy
        for labels in ([0, 1, 2, 2], [0, 1, 2, -1], [0, 1, -1, -1], [-1] * 4)
    ]
    name = "soft_targets_loss"
    got = [share[name] for share in shares]
    np.testing.assert_allclose(got, [1 / 2, 1 / 3, 0, 1 / 2], atol=1e-6)


def masking(kernel):
    model = keras.Sequential([keras.Input((None, 3)), layers.Masking()])
    model.add(layers.Dense(3, use_bias=False))
    model.set_weights([kernel])
    return model


def test_masked_steps_count_for_nothing():
    models = masking(WRONG), masking(RIGHT)
    # Inputs of zeros are padding; their labels, 0 or 1, would be a chance.
    x = one_hot([[0, 1, 2, 0], [2, 1, 0, 0]])
    x[:, 2:] = 0
    y = np.array([[0, 1, 1, 1], [2, 1, 1, 1]])
    diagnosis = diagnose(distil(*models, weight=0), x, y)
    assert diagnosis.accuracy == {"teacher": 1.0, "student": 0.0}
    # Of 0, 1, 2, 1.
    assert diagnosis.majority_share == 0.5


@pytest.mark.parametrize(
    "weights",
    [np.array([1, 2, 0, 0.5], "f"), np.array([[1], [1], [0], [1]], "f")],
    ids=["(B,)", "(B, 1)"],
)
def test_examples_of_weight_0_are_left_out(weights):
    y = np.array([0, 1, 0, 0])  # the third is wrong
    diagnosis = diagnose(linear(), one_hot(CLASSES), y, sample_weight=weights)
    assert diagnosis.num_examples == 3
    assert diagnosis.accuracy == {"teacher": 1.0, "student": 0.0}
    assert diagnosis.majority_share == pytest.approx(2 / 3)


def test_pixels_of_weight_0_are_left_out():
    classes = np.array([[[0, 1], [2, 0]]])
    labels, weights = classes.copy(), np.ones((1, 2, 2), "f")
    labels[0, 0], weights[0, 0] = 2, 0
    diagnosis = diagnose(linear((2, 2)), (one_hot(classes), labels, weights))
    assert diagnosis.accuracy["teacher"] == 1
    assert diagnosis.num_examples == 1


def test_sample_weights_of_0_alone_are_the_one_finding():
    x, weights = one_hot(CLASSES), np.zeros(4, "f")
    losses = ["soft_targets", "logit_matching"]
    distiller = distil(dense(WRONG), dense(RIGHT), losses)
    diagnosis = diagnose(distiller, x, CLASSES, sample_weight=weights)
    [sentence] = diagnosis.findings
    assert "All 4 examples have a sample weight of 0" in sentence
    assert diagnosis.num_examples == 0


def test_gradients_are_of_the_first_batch_with_a_weight():
    x, weights = one_hot(CLASSES), np.array([0, 0, 1, 1], "f")
    batches = [(x, CLASSES, np.zeros(4, "f")), (x, CLASSES, weights)]
    shares = diagnose(linear(), batches).gradient_share
    assert shares == diagnose(linear(), batches[1:]).gradient_share
    assert sum(shares.values()) == pytest.approx(1)


def stack(bias=0.0):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(5, activation="relu", name="hidden"),
            layers.Dense(3, name="logits"),
        ]
    )
    hidden = model.get_layer("hidden")
    hidden.set_weights([hidden.get_weights()[0], np.full(5, bias, "f")])
    return model


def test_dead_student_is_the_one_finding_about_gradients():
    # No ReLU is ever active; only the last bias learns.
    distiller = distil(stack(bias=-100.0), dense(RIGHT))
    diagnosis = diagnose(distiller, one_hot(CLASSES), CLASSES)
    [sentence] = findings(diagnosis, "dead")
    assert "outputs of the student are the same for all examples" in sentence
    assert findings(diagnosis, "of the gradient") == []


@pytest.mark.parametrize("kernel", ["random", "zeros"])
def test_student_that_learns_is_not_dead(kernel):
    student = stack(bias=1.0)
    if kernel == "zeros":  # constant outputs, for the head begins at 0
        student.get_layer("logits").set_weights([np.zeros((5, 3)), np.zeros(3)])
    distiller = distil(student, dense(RIGHT))
    diagnosis = diagnose(distiller, (one_hot(CLASSES), CLASSES))
    assert findings(diagnosis, "dead") == []


def test_student_equal_to_its_teacher_is_not_dead():
    distiller = distil(
        dense(RIGHT), dense(RIGHT), "logit_matching", weight=0, loss=None
    )
    diagnosis = diagnose(distiller, one_hot(CLASSES), CLASSES)
    assert findings(diagnosis, "dead") == []
    [sentence] = findings(diagnosis, "logit_matching_loss has 0.00%")
    assert "is at its least already" in sentence


def test_student_weight_of_1_has_a_remedy_of_its_own():
    losses = ["soft_targets", LossTerm("logit_matching", weight=2)]
    distiller = distil(dense(WRONG), dense(RIGHT), losses, weight=1.0)
    diagnosis = diagnose(distiller, one_hot(CLASSES), CLASSES)
    [sentence] = diagnosis.findings
    assert "`student_weight` is 1 now: soft_targets_loss, logit_m" in sentence
    assert "Lower it" in sentence


def test_steps_limit_what_is_measured():
    x, y = one_hot(CLASSES), np.array([0, 1, 0, 1])
    diagnosis = diagnose(linear(), x, y, batch_size=2, steps=1)
    assert diagnosis.num_examples == 2
    assert diagnosis.accuracy["teacher"] == 1


def test_labels_of_outputs_by_the_names_of_their_layers():
    def model(kernel):
        inputs = keras.Input((3,))
        heads = [
            layers.Dense(3, use_bias=False, name=name)(inputs) for name in "ab"
        ]
        model = keras.Model(inputs, heads)
        model.set_weights([kernel, kernel])
        return model

    distiller = distil(model(WRONG), model(RIGHT), weight=0, loss=None)
    labels = {"a": CLASSES, "b": np.array([0, 1, 1, 1])}
    diagnosis = diagnose(distiller, one_hot(CLASSES), labels)
    assert diagnosis.accuracy == {"teacher": 0.75, "student": 0.125}


@pytest.mark.parametrize("eagerly", [False, True])
def test_batches_of_all_sizes_take_one_trace(eagerly):
    runs = []

    class Counting(layers.Layer):
        def call(self, x):
            runs.append(not tf.executing_eagerly())
            return x

    teacher = keras.Sequential([keras.Input((3,)), Counting(), dense(RIGHT)])
    distiller = distil(dense(WRONG), teacher, run_eagerly=eagerly)
    runs.clear()
    y = np.array([0, 1, 2, 0, 1])
    diagnose(distiller, one_hot(y), y, batch_size=2)
    # Once for the gradients; each of three batches only where asked for.
    assert runs == ([False] * 4 if eagerly else [False, True])


def test_random_states_of_a_loss_do_not_change():
    generator = keras.random.SeedGenerator(3)

    class Drawing(Distiller):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.generator = generator

        def compute_losses(self, *arguments):
            losses = super().compute_losses(*arguments)
            noise = keras.random.uniform((), seed=self.generator)
            return {**losses, "noisy": noise * losses["soft_targets_loss"]}

    distiller = Drawing(dense(WRONG), dense(RIGHT))
    distiller.compile("sgd", LABEL_LOSS)
    before = generator.state.numpy()
    diagnose(distiller, one_hot(CLASSES), CLASSES)
    np.testing.assert_array_equal(generator.state.numpy(), before)


def test_each_of_several_teachers_is_measured():
    constant = np.repeat(np.eye(3, dtype="f")[:1], 3, axis=0)
    teachers = [dense(RIGHT), dense(constant)]
    losses = [
        LossTerm("soft_targets", teacher=0, name="first"),
        LossTerm("soft_targets", teacher=1, temperature=1, name="second"),
    ]
    distiller = distil(dense(WRONG), teachers, losses)
    y = np.repeat([0, 1, 2], [40, 30, 30])
    diagnosis = diagnose(distiller, one_hot(y), y)
    assert diagnosis.accuracy == {
        "teacher 0": 1.0,
        "student": 0.0,
        "teacher 1": 0.4,
    }
    assert set(diagnosis.teacher_entropy) == {"first", "second"}
    [sentence] = findings(diagnosis, "little to learn")
    assert "The accuracy of the teacher 1 is 40.0%" in sentence


def test_student_that_teaches_itself_is_measured():
    model = dense(RIGHT)
    diagnosis = diagnose(distil(model, model), one_hot(CLASSES), CLASSES)
    assert diagnosis.accuracy == {"teacher": 1.0, "student": 1.0}
