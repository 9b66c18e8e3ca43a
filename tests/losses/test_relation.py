import functools

import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation import loss_table
from kd_tf.losses.relation import (
    contrastive_loss,
    correlation_congruence_loss,
    probabilistic_transfer_loss,
    rkd_angle_loss,
    rkd_distance_loss,
    similarity_preserving_loss,
)

TABLE = {
    name: spec
    for name, spec in loss_table.LOSSES.items()
    if spec.knowledge == "relation"
}
OF_ANY_WIDTHS = {
    **{n: spec.load() for n, spec in TABLE.items() if not spec.equal},
    "CC, gamma=2": functools.partial(correlation_congruence_loss, gamma=2.0),
}
LOSSES = {
    **OF_ANY_WIDTHS,
    **{name: spec.load() for name, spec in TABLE.items() if spec.equal},
    "contrastive, T=1": functools.partial(contrastive_loss, temperature=1.0),
}


def over(table):
    return pytest.mark.parametrize("loss", table.values(), ids=table)


battery = over(LOSSES)


def embeddings(seed, shape=(5, 6)):
    return np.random.default_rng(seed).normal(size=shape).astype("f")


EXTREME = 1e4 * np.sign(embeddings(2))
HARD = {
    "opposite extremes": (-EXTREME, EXTREME),
    "equal extremes": (EXTREME, EXTREME),
    "extreme student": (EXTREME, np.zeros_like(EXTREME)),
    "extreme teacher": (np.zeros_like(EXTREME), EXTREME),
    "equal": (embeddings(1), embeddings(1)),
    "constant": (np.full_like(EXTREME, 3), np.full_like(EXTREME, -7)),
    "student all alike": (np.ones_like(EXTREME), embeddings(1)),
    "zero": (np.zeros_like(EXTREME), np.zeros_like(EXTREME)),
    "two alike": (embeddings(0)[[0, 0, 1, 2, 3]], embeddings(1)),
    "one example": (embeddings(0, (1, 6)), embeddings(1, (1, 6))),
    "two examples": (embeddings(0, (2, 6)), embeddings(1, (2, 6))),
}
hard = pytest.mark.parametrize("pair", HARD.values(), ids=HARD)


def gradients(loss, *inputs):
    inputs = [tf.constant(x) for x in inputs]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = tf.reduce_sum(loss(*inputs))
    return tape.gradient(value, inputs)


def length_one(x):
    return x / np.sqrt(np.sum(x**2))


def cosine(a, b):
    return length_one(a) @ length_one(b)


def huber(x):
    return 0.5 * x**2 if abs(x) < 1 else abs(x) - 0.5


def matrix(function, x):
    return np.array([[function(a, b) for b in x] for a in x])


def test_rkd_distance_loss_matches_the_sum_done_by_hand():
    # Points 0, 3, 6 are 3, 6, 3 apart, in the mean 4: 0.75, 1.5, 0.75.
    # Points 0, 1, 1 are 1, 1, 0 apart, in the mean 2/3: 1.5, 1.5, 0.
    # Half the squares of the differences: 9/32, 0 and 9/32.
    student = np.array([[0], [3], [6]], "f")
    teacher = np.array([[0, 0], [0, 1], [0, 1]], "f")
    loss = rkd_distance_loss(student, teacher)
    np.testing.assert_allclose(loss, [9 / 64, 9 / 32, 9 / 64], rtol=1e-3)


def test_rkd_distance_loss_matches_the_pairs_of_the_paper():
    def distances(x):
        apart = matrix(lambda a, b: np.sqrt(np.sum((a - b) ** 2)), x)
        pairs = [apart[i, j] for i in range(5) for j in range(5) if i != j]
        return apart / np.mean(pairs)

    student, teacher = 5 * embeddings(0), embeddings(1, (5, 2)) ** 3
    ours, theirs = distances(student), distances(teacher)
    expected = [
        np.mean([huber(ours[i, j] - theirs[i, j]) for j in range(5) if j != i])
        for i in range(5)
    ]
    np.testing.assert_allclose(
        rkd_distance_loss(student, teacher), expected, rtol=1e-3
    )


def test_rkd_angle_loss_matches_the_sum_done_by_hand():
    # The student stands in a line: cosines 1, -1, 1 at its three points. The
    # teacher's right angle: 0 at the first, 1/sqrt(2) at the others.
    student = np.array([[0], [1], [2]], "f")
    teacher = np.array([[0, 0], [1, 0], [0, 1]], "f")
    half = np.sqrt(0.5)
    by_hand = [0.5, (1 + half) - 0.5, 0.5 * (1 - half) ** 2]
    np.testing.assert_allclose(
        rkd_angle_loss(student, teacher), by_hand, rtol=1e-4
    )


def test_rkd_angle_loss_matches_the_triplets_of_the_paper():
    student, teacher = embeddings(0), embeddings(1, (5, 2))
    expected = []
    for i in range(5):
        values = [
            huber(
                cosine(student[j] - student[i], student[k] - student[i])
                - cosine(teacher[j] - teacher[i], teacher[k] - teacher[i])
            )
            for j in range(5)
            for k in range(5)
            if len({i, j, k}) == 3
        ]
        expected.append(np.mean(values))
    np.testing.assert_allclose(
        rkd_angle_loss(student, teacher), expected, rtol=1e-4
    )


def test_similarity_preserving_loss_matches_the_rows_of_the_paper():
    student, teacher = embeddings(0), embeddings(1, (5, 3))

    def rows(x):
        return [length_one(row) for row in matrix(np.dot, x)]

    expected = [
        np.mean((ours - theirs) ** 2)
        for ours, theirs in zip(rows(student), rows(teacher), strict=True)
    ]
    np.testing.assert_allclose(
        similarity_preserving_loss(student, teacher), expected, rtol=1e-4
    )


def test_correlation_congruence_loss_matches_its_gaussian_kernel():
    student, teacher = embeddings(0), embeddings(1, (5, 3))

    def kernel(a, b):
        return np.exp(-0.7 * np.sum((length_one(a) - length_one(b)) ** 2))

    difference = matrix(kernel, student) - matrix(kernel, teacher)
    np.testing.assert_allclose(
        correlation_congruence_loss(student, teacher, gamma=0.7),
        np.mean(difference**2, axis=1),
        rtol=1e-4,
    )


def test_probabilistic_transfer_loss_matches_its_cosine_kernel():
    student, teacher = embeddings(0), embeddings(1, (5, 3))

    def neighbours(x):
        kernel = matrix(lambda a, b: (1 + cosine(a, b)) / 2, x)
        return [row / row.sum() for row in kernel]

    expected = [
        np.sum(p * np.log(p / q))
        for p, q in zip(neighbours(teacher), neighbours(student), strict=True)
    ]
    np.testing.assert_allclose(
        probabilistic_transfer_loss(student, teacher), expected, rtol=1e-3
    )


def test_contrastive_loss_matches_the_softmax_over_the_batch():
    student, teacher = embeddings(0), embeddings(1)
    expected = []
    for i in range(5):
        scores = [np.exp(cosine(student[i], other) / 0.5) for other in teacher]
        expected.append(-np.log(scores[i] / np.sum(scores)))
    np.testing.assert_allclose(
        contrastive_loss(student, teacher, temperature=0.5), expected, rtol=1e-4
    )


@battery
def test_one_value_an_example(loss):
    assert loss(embeddings(0), embeddings(1)).shape == (5,)


@battery
def test_axes_are_flattened(loss):
    np.testing.assert_allclose(
        loss(embeddings(0).reshape(5, 3, 2), embeddings(1).reshape(5, 2, 1, 3)),
        loss(embeddings(0), embeddings(1)),
        rtol=1e-5,
    )


@battery
def test_float16_in_float32_out(loss):
    student = embeddings(0).astype("float16")
    teacher = embeddings(1).astype("float16")
    value = loss(student, teacher)
    assert value.dtype == "float32"
    np.testing.assert_allclose(
        value, loss(student.astype("f"), teacher.astype("f")), rtol=1e-2
    )


@over(OF_ANY_WIDTHS)
def test_nothing_when_student_equals_teacher(loss):
    np.testing.assert_allclose(loss(embeddings(1), embeddings(1)), 0, atol=1e-6)
    assert np.all(np.array(loss(embeddings(0), embeddings(1))) > 1e-4)


@over({name: LOSSES[name] for name in LOSSES if name not in OF_ANY_WIDTHS})
def test_contrastive_loss_is_less_at_the_teacher(loss):
    at_teacher = np.mean(loss(embeddings(1), embeddings(1)))
    assert at_teacher < np.mean(loss(embeddings(0), embeddings(1)))


@hard
@battery
def test_finite_value_and_gradient_at_hard_embeddings(loss, pair):
    assert np.isfinite(loss(*pair)).all()
    assert np.isfinite(gradients(loss, *pair)[0]).all()


@battery
def test_one_example_has_no_relations_to_lose(loss):
    value = loss(embeddings(0, (1, 6)), embeddings(1, (1, 6)))
    np.testing.assert_allclose(value, [0], atol=1e-6)


@battery
def test_gradient_to_the_student_and_none_to_the_teacher(loss):
    to_student, to_teacher = gradients(loss, embeddings(0), embeddings(1))
    assert np.abs(to_student).max() > 1e-3
    assert to_teacher is None


@battery
def test_permuting_the_batch_permutes_the_losses(loss):
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(
        loss(embeddings(0)[order], embeddings(1)[order]),
        np.array(loss(embeddings(0), embeddings(1)))[order],
        rtol=1e-4,
    )


@battery
def test_batch_of_unknown_size(loss):
    unknown = tf.TensorSpec((None, 6))
    traced = tf.function(loss, input_signature=[unknown, unknown])
    np.testing.assert_allclose(
        traced(embeddings(0), embeddings(1)),
        loss(embeddings(0), embeddings(1)),
        rtol=1e-4,
    )


@over(OF_ANY_WIDTHS)
def test_widths_may_differ(loss):
    value = loss(embeddings(0), embeddings(1, (5, 2, 4)))
    assert value.shape == (5,)
    assert np.isfinite(value).all()


def test_contrastive_loss_refuses_unequal_widths():
    with pytest.raises(ValueError, match=r"student \(B, 1\), teacher \(B, 6\)"):
        contrastive_loss(embeddings(0, (5, 1)), embeddings(1))
