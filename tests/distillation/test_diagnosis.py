import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kd_tf import Distiller, LossTerm
from kd_tf.results import DiagnosisRecord, from_json, to_json
from kd_tf.schedules import linear

LABEL_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def dense(kernel):
    """A linear model of a given kernel."""
    kernel = np.array(kernel, "f")
    layer = layers.Dense(kernel.shape[1], use_bias=False, name="logits")
    model = keras.Sequential([keras.Input((kernel.shape[0],)), layer])
    model.set_weights([kernel])
    return model


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("f")


def data(count=6, width=4):
    return random(0, count, width), np.arange(count) % 3


def distil(student, teacher, losses="soft_targets", *, weight=0.3, **options):
    distiller = Distiller(student, teacher, losses, student_weight=weight)
    compiling = {"optimizer": keras.optimizers.SGD(0.5), "loss": LABEL_LOSS}
    distiller.compile(**{**compiling, **options})
    return distiller


def mean_difference(student, teacher):
    return tf.reduce_mean(tf.square(student - teacher), axis=-1)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def entropy_share(logits):
    p = softmax(np.asarray(logits, "float64"))
    entropies = -(p * np.log(p)).sum(axis=-1)
    return entropies.mean() / np.log(p.shape[-1])


def findings(diagnosis, about):
    return [sentence for sentence in diagnosis.findings if about in sentence]


# For the rows of an identity matrix the outputs of linear models are the rows
# of their kernels. Of these four examples the teacher classifies the first
# three correctly, the student the first and the last.
LABELS = np.array([0, 1, 2, 0])
TEACHER = np.array([[4, 0, 0], [0, 4, 0], [0, 0, 4], [0, 0, 4]], "f")
STUDENT = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]], "f")
IDENTITY = np.eye(4, dtype="f")


def linear_distiller(losses="soft_targets", **options):
    return distil(dense(STUDENT), dense(TEACHER), losses, **options)


@pytest.mark.parametrize(
    ("labels", "loss"),
    [
        (LABELS, LABEL_LOSS),
        (LABELS[:, None], LABEL_LOSS),
        (
            np.eye(3, dtype="f")[LABELS],
            keras.losses.CategoricalCrossentropy(from_logits=True),
        ),
    ],
    ids=["numbers", "column of numbers", "one-hot"],
)
def test_accuracies_are_those_by_hand(labels, loss):
    diagnosis = linear_distiller(loss=loss).diagnose([(IDENTITY, labels)])
    assert diagnosis.accuracy == {"teacher": 0.75, "student": 0.5}
    assert diagnosis.num_examples == 4
    assert findings(diagnosis, "little to learn") == []


def test_accuracy_is_over_all_batches():
    batches = [(IDENTITY[:3], LABELS[:3]), (IDENTITY[3:], LABELS[3:])]
    diagnosis = linear_distiller().diagnose(batches)
    assert diagnosis.accuracy == {"teacher": 0.75, "student": 0.5}
    assert diagnosis.num_examples == 4


def two_outputs(**kernels):
    inputs = keras.Input((4,))
    heads = {name: dense(kernel) for name, kernel in kernels.items()}
    return keras.Model(inputs, {k: head(inputs) for k, head in heads.items()})


def two_linear_distillers():
    return distil(
        two_outputs(a=STUDENT, b=TEACHER),
        two_outputs(a=TEACHER, b=TEACHER),
        loss={"a": LABEL_LOSS, "b": LABEL_LOSS},
    )


def test_accuracy_of_several_outputs_is_their_mean():
    diagnosis = two_linear_distillers().diagnose(
        [(IDENTITY, {"a": LABELS, "b": LABELS})]
    )
    assert diagnosis.accuracy == {"teacher": 0.75, "student": 0.625}


def test_data_without_labels_has_no_accuracy():
    distiller = linear_distiller(weight=0, loss=None)
    diagnosis = distiller.diagnose(tf.data.Dataset.from_tensors(IDENTITY))
    assert diagnosis.accuracy == {}
    assert diagnosis.gradient_share == {"soft_targets_loss": 1}


def test_labels_of_several_classes_have_no_accuracy():
    several = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 0, 0]], "f")
    distiller = linear_distiller(
        loss=keras.losses.BinaryCrossentropy(from_logits=True)
    )
    assert distiller.diagnose([(IDENTITY, several)]).accuracy == {}


def test_output_of_one_value_has_no_accuracy():
    models = dense(random(1, 4, 1)), dense(random(2, 4, 1))
    distiller = distil(*models, mean_difference, loss="mse")
    diagnosis = distiller.diagnose([(IDENTITY, np.ones((4, 1), "f"))])
    assert diagnosis.accuracy == {}
    assert diagnosis.findings == []


def gradients_by_hand(student, teacher, x, y, w, weights):
    """Of labels, soft targets at temperature 2, and centred logits."""
    z, t = np.array(student(x)), np.array(teacher(x))
    labels = softmax(z) - np.eye(3)[y]
    # d (T^2 KL) = T (softmax(z / T) - softmax(t / T)).
    soft = 2 * (softmax(z / 2) - softmax(t / 2))
    # d mean (a - b)^2 = 2 / 3 (a - b), each centred.
    apart = (z - t) - (z - t).mean(axis=-1, keepdims=True)
    norms = [
        share * np.linalg.norm(x.T @ slope / len(x))
        for share, slope in (
            (w, labels),
            ((1 - w) * weights[0], soft),
            ((1 - w) * weights[1], 2 / 3 * apart),
        )
    ]
    return np.array(norms) / np.sum(norms)


@pytest.mark.parametrize(
    ("student_weight", "weights"),
    [(0.3, (1.0, 1.0)), (0.8, (2.0, 0.25)), (0.0, (1.0, 3.0))],
)
@pytest.mark.parametrize("scheduled", [False, True])
def test_gradient_shares_are_those_by_hand(student_weight, weights, scheduled):
    def given(number):
        return (lambda step: number + 0.0 * step) if scheduled else number

    student, teacher = dense(random(1, 4, 3)), dense(random(2, 4, 3))
    losses = [
        LossTerm("soft_targets", temperature=2, weight=given(weights[0])),
        LossTerm("logit_matching", weight=given(weights[1])),
    ]
    distiller = distil(student, teacher, losses, weight=given(student_weight))
    x, y = data()
    shares = distiller.diagnose([(x, y)]).gradient_share
    by_hand = gradients_by_hand(student, teacher, x, y, student_weight, weights)
    names = ["student_loss", "soft_targets_loss", "logit_matching_loss"]
    assert list(shares) == names
    np.testing.assert_allclose(list(shares.values()), by_hand, rtol=1e-4)
    assert sum(shares.values()) == pytest.approx(1)


def test_gradient_shares_are_of_the_first_batch():
    distiller = distil(
        dense(random(1, 4, 3)),
        dense(random(2, 4, 3)),
        ["soft_targets", "logit_matching"],
    )
    (x, y), other = data(), (random(5, 6, 4), np.zeros(6, int))
    first = distiller.diagnose([(x, y)]).gradient_share
    both = distiller.diagnose([(x, y), other]).gradient_share
    assert both == pytest.approx(first)
    assert distiller.diagnose([other]).gradient_share != pytest.approx(first)


def stack(width, seed=0):
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(width, activation="tanh", name="hidden"),
            layers.Dense(3, name="logits"),
        ],
        name=f"stack_{width}_{seed}",
    )


ON_HIDDEN = [("hidden", "hidden")]


@pytest.mark.parametrize("losses", ["outputs", "layers"])
def test_sample_weights_count_in_arrays_as_they_do_in_tensors(losses):
    loss_terms = {
        "outputs": ["soft_targets", "logit_matching"],
        "layers": ["soft_targets", LossTerm("hint", pairs=ON_HIDDEN)],
    }[losses]
    keras.utils.set_random_seed(1)
    distiller = distil(stack(5), stack(7), loss_terms)
    x, y = data()
    arrays = x, y, np.array([0, 0, 5, 0, 0, 1], "f")
    tensors = [tf.convert_to_tensor(a) for a in arrays]
    of_arrays = distiller.diagnose([arrays]).gradient_share
    of_tensors = distiller.diagnose([tuple(tensors)]).gradient_share
    unweighted = distiller.diagnose([(x, y)]).gradient_share
    assert of_arrays == pytest.approx(of_tensors, rel=1e-4)
    assert of_arrays != pytest.approx(unweighted, rel=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_entropy_of_the_teacher_is_that_by_hand(temperature):
    loss_term = LossTerm("soft_targets", temperature=temperature)
    diagnosis = linear_distiller(loss_term).diagnose([(IDENTITY, LABELS)])
    # All rows of the teacher are (4, 0, 0) in some order.
    e = np.exp(4 / temperature)
    p, q = e / (e + 2), 1 / (e + 2)
    by_hand = -(p * np.log(p) + 2 * q * np.log(q)) / np.log(3)
    assert diagnosis.teacher_entropy == {
        "soft_targets_loss": pytest.approx(by_hand, rel=1e-5)
    }


def test_entropy_is_at_the_temperature_of_the_present_step():
    loss_term = LossTerm("soft_targets", temperature=linear(1, 5, num_steps=4))
    distiller = linear_distiller(loss_term)
    for step, temperature in ((0, 1), (2, 3), (9, 5)):
        distiller.optimizer.iterations.assign(step)
        diagnosis = distiller.diagnose([(IDENTITY, LABELS)])
        assert diagnosis.teacher_entropy["soft_targets_loss"] == pytest.approx(
            entropy_share(TEACHER / temperature), rel=1e-5
        )


def test_entropy_is_of_the_transformed_logits():
    losses = [
        LossTerm("soft_targets", temperature=2, transform="standardize"),
        LossTerm("soft_targets", temperature=2, transform=lambda z: 3 * z),
    ]
    diagnosis = linear_distiller(losses).diagnose([(IDENTITY, LABELS)])
    mean, deviation = 4 / 3, 4 * np.sqrt(2) / 3
    assert diagnosis.teacher_entropy == {
        "soft_targets_loss": pytest.approx(
            entropy_share((TEACHER - mean) / deviation / 2), rel=1e-3
        ),
        "soft_targets_loss_2": pytest.approx(
            entropy_share(1.5 * TEACHER), rel=1e-5
        ),
    }


def test_losses_without_softmax_have_no_entropy():
    losses = [
        "logit_matching",
        "sigmoid_targets",
        LossTerm("contrastive", pairs=ON_HIDDEN),
    ]
    diagnosis = distil(stack(5), stack(7), losses).diagnose([data()])
    assert diagnosis.teacher_entropy == {}


def test_sharp_teacher_is_found_with_its_figure_and_a_remedy():
    distiller = distil(
        dense(STUDENT),
        dense(10 * TEACHER),
        LossTerm("soft_targets", temperature=5),
    )
    diagnosis = distiller.diagnose([(IDENTITY, LABELS)])
    share = entropy_share(2 * TEACHER)
    [sentence] = findings(diagnosis, "adds little to the labels")
    assert share < 0.05
    assert f"Under soft_targets_loss the softened teacher has {share:.1%}" in (
        sentence
    )
    assert "Raise the temperature" in sentence


def test_flat_teacher_is_found_with_its_figure_and_a_remedy():
    diagnosis = linear_distiller(
        LossTerm("soft_targets", temperature=40)
    ).diagnose([(IDENTITY, LABELS)])
    [sentence] = findings(diagnosis, "all classes look alike")
    assert f"has {entropy_share(TEACHER / 40):.1%} of the greatest" in sentence
    assert "Lower the temperature" in sentence


def test_teacher_between_the_two_gives_no_finding():
    diagnosis = linear_distiller(
        LossTerm("soft_targets", temperature=4)
    ).diagnose([(IDENTITY, LABELS)])
    assert 0.05 < diagnosis.teacher_entropy["soft_targets_loss"] < 0.99
    assert findings(diagnosis, "entropy") == []


@pytest.mark.parametrize("teacher", [STUDENT, -TEACHER], ids=["same", "worse"])
def test_teacher_no_better_than_the_most_frequent_class_is_found(teacher):
    distiller = distil(dense(STUDENT), dense(teacher))
    diagnosis = distiller.diagnose([(IDENTITY, LABELS)])
    right = diagnosis.accuracy["teacher"]
    [sentence] = findings(diagnosis, "little to learn")
    assert f"accuracy of the teacher is {right:.1%} on 4 labels" in sentence
    assert "the most frequent class has 50.0%" in sentence
    assert "train a better one" in sentence


class Probabilities(keras.Model):
    """Ends in softmax, which nobody sees from outside."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return keras.ops.softmax(self.inner(x))


def test_probabilities_are_found_where_they_cannot_be_seen():
    teacher = Probabilities(dense(TEACHER))
    diagnosis = distil(dense(STUDENT), teacher).diagnose([(IDENTITY, LABELS)])
    [sentence] = findings(diagnosis, "probabilities already")
    assert "lie in [0, 1] and add up to 1.000" in sentence
    assert "Take the logits, before softmax" in sentence


def test_logits_are_taken_for_no_probabilities():
    diagnosis = linear_distiller().diagnose([(IDENTITY, LABELS)])
    assert findings(diagnosis, "probabilities") == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_found(value):
    class Broken(keras.Model):
        def call(self, x):
            # One of the twelve numbers.
            return tf.where(tf.reshape(range(12), (4, 3)) == 5, value, 1.0)

    diagnosis = distil(dense(STUDENT), Broken()).diagnose([(IDENTITY, LABELS)])
    [sentence] = findings(diagnosis, "NaN or infinite")
    assert sentence.startswith("8.3% of the teacher's outputs are NaN or")
    assert "nan" not in " ".join(diagnosis.findings)


@pytest.mark.parametrize("student_weight", [1.0, 0.5])
def test_adapters_without_a_gradient_are_found(student_weight):
    # Nothing reaches the adapter: the teacher counts for nothing, or its loss.
    loss_term = LossTerm(
        "hint", pairs=ON_HIDDEN, weight=2 * (1 - student_weight)
    )
    if student_weight == 0.5:
        loss_term.weight = 0.0
    distiller = distil(stack(5), stack(7), loss_term, weight=student_weight)
    diagnosis = distiller.diagnose([data()])
    assert diagnosis.adapters_without_gradient == [
        "hint_loss: hidden -> hidden"
    ]
    if student_weight == 1:
        # Its cause is a finding already.
        assert findings(diagnosis, "The adapter of") == []
        return
    [sentence] = findings(diagnosis, "The adapter of")
    assert "hint_loss: hidden -> hidden gets a gradient of 0" in sentence
    assert "Give its loss a weight" in sentence


def test_adapters_that_learn_or_have_nothing_to_learn_are_not_found():
    losses = [
        LossTerm("hint", pairs=ON_HIDDEN),
        LossTerm("rkd_distance", pairs=ON_HIDDEN, weight=0),
    ]
    diagnosis = distil(stack(5), stack(7), losses).diagnose([data()])
    assert diagnosis.adapters_without_gradient == []


def test_loss_with_little_of_the_gradient_is_found_with_a_factor():
    def losses(weight):
        return [
            LossTerm("soft_targets", temperature=4),
            LossTerm("logit_matching", weight=weight),
        ]

    def diagnosed(weight):
        student, teacher = dense(random(1, 4, 3)), dense(random(2, 4, 3))
        return distil(student, teacher, losses(weight)).diagnose([data()])

    diagnosis = diagnosed(1e-3)
    share = diagnosis.gradient_share["logit_matching_loss"]
    assert share < 0.01
    [sentence] = findings(diagnosis, "of the gradient")
    assert sentence.startswith(f"logit_matching_loss has {share:.2%} of the")
    # With weight f w its share is f s / (f s + 1 - s): a tenth.
    factor = 0.1 * (1 - share) / (0.9 * share)
    assert f"Multiply its weight by {factor:.2g} for a tenth" in sentence
    remedied = diagnosed(1e-3 * factor)
    assert remedied.gradient_share["logit_matching_loss"] == pytest.approx(0.1)
    assert findings(remedied, "of the gradient") == []


def test_loss_with_none_of_the_gradient_is_found():
    losses = ["soft_targets", LossTerm("logit_matching", weight=0)]
    diagnosis = linear_distiller(losses).diagnose([(IDENTITY, LABELS)])
    assert diagnosis.gradient_share["logit_matching_loss"] == 0
    [sentence] = findings(diagnosis, "of the gradient")
    assert sentence == (
        "logit_matching_loss has 0.00% of the gradient. Give it a weight, or "
        "leave it out."
    )


def test_loss_that_does_not_look_at_the_student_has_no_gradient():
    def idle(student, teacher):
        return tf.reduce_mean(teacher, axis=-1)

    diagnosis = linear_distiller(["soft_targets", idle]).diagnose(
        [(IDENTITY, LABELS)]
    )
    assert diagnosis.gradient_share["idle"] == 0


def test_regularization_is_no_finding():
    student = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, kernel_regularizer=keras.regularizers.L2(1e-9)),
        ]
    )
    diagnosis = distil(student, dense(random(2, 4, 3))).diagnose([data()])
    assert diagnosis.gradient_share["regularization_loss"] < 0.01
    assert findings(diagnosis, "regularization") == []


def test_text_holds_the_summary_and_each_finding():
    losses = [
        LossTerm("soft_targets", temperature=40),
        LossTerm("logit_matching", weight=0),
    ]
    diagnosis = linear_distiller(losses).diagnose([(IDENTITY, LABELS)])
    lines = str(diagnosis).split("\n")
    assert lines == [diagnosis.summary(), *diagnosis.findings]
    assert len(diagnosis.findings) == 2
    assert lines[0].startswith("4 examples; teacher 75.0% right; student 50.0%")
    shares = diagnosis.gradient_share
    for name in ("student_loss", "soft_targets_loss", "logit_matching_loss"):
        assert f"{name} {shares[name]:.1%}" in lines[0]
    entropy = diagnosis.teacher_entropy["soft_targets_loss"]
    assert f"under soft_targets_loss: {entropy:.1%} of the greatest" in lines[0]


def test_record_holds_what_results_keep():
    diagnosis = linear_distiller(
        LossTerm("soft_targets", temperature=40)
    ).diagnose([(IDENTITY, LABELS)])
    record = diagnosis.record()
    assert record == DiagnosisRecord(
        diagnosis.summary(), diagnosis.findings, diagnosis.gradient_share
    )
    assert len(record.findings) == 1
    assert from_json(DiagnosisRecord, to_json(record)) == record


def test_shares_of_outputs_that_are_not_finite_are_missing_from_the_record():
    def broken(student, teacher):
        return float("nan") * tf.reduce_mean(student, axis=-1)

    diagnosis = linear_distiller(["soft_targets", broken]).diagnose(
        [(IDENTITY, LABELS)]
    )
    assert np.isnan(diagnosis.gradient_share["broken"])
    record = diagnosis.record()
    assert set(record.gradient_share.values()) == {None}
    assert from_json(DiagnosisRecord, to_json(record)) == record


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_distiller_that_is_not_compiled_is_diagnosed(weight):
    distiller = Distiller(dense(STUDENT), dense(TEACHER), student_weight=weight)
    diagnosis = distiller.diagnose([(IDENTITY, LABELS)])
    assert diagnosis.accuracy == {"teacher": 0.75, "student": 0.5}
    assert diagnosis.gradient_share == {"soft_targets_loss": 1}


def test_dataset_and_list_of_batches_give_the_same():
    x, y = data()
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    distiller = distil(dense(random(1, 4, 3)), dense(random(2, 4, 3)))
    of_list = distiller.diagnose([(x[:4], y[:4]), (x[4:], y[4:])])
    assert distiller.diagnose(dataset) == of_list
    assert of_list.num_examples == 6


@pytest.mark.parametrize(
    "nothing", [[], tf.data.Dataset.from_tensor_slices([1.0]).take(0)]
)
def test_no_data_is_refused(nothing):
    with pytest.raises(ValueError, match=r"nothing to diagnose.*one batch"):
        linear_distiller().diagnose(nothing)


def full(width, seed):
    """A model with all that may change by itself in a forward pass."""
    inputs = keras.Input((6, 6, 1))
    x = layers.RandomFlip(seed=seed)(inputs)
    x = layers.Conv2D(width, 3, padding="same", name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Dropout(0.5, seed=seed)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def test_nothing_changes():
    student, teacher = full(4, 1), full(6, 2)
    pairs = [("relu", "relu")]
    distiller = distil(
        student,
        teacher,
        [
            "soft_targets",
            LossTerm("masked_generation", pairs=pairs),
            LossTerm("variational_information", pairs=pairs),
        ],
        optimizer="adam",
        metrics=["accuracy"],
    )
    x, y = random(0, 6, 6, 6, 1), np.arange(6) % 3
    distiller.fit(x, y, verbose=0)
    variables = [
        *distiller.variables,
        *teacher.variables,
        *distiller.optimizer.variables,
    ]
    generators = [v for v in variables if "seed" in v.path]
    assert len(generators) >= 3
    before = [v.numpy() for v in variables]
    logs = distiller.get_metrics_result()
    trainable = student.trainable, teacher.trainable
    distiller.diagnose([(x, y), (x, y)])
    for variable, old in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old, variable.path)
    assert distiller.get_metrics_result() == logs
    assert (student.trainable, teacher.trainable) == trainable
    for model in (student, teacher):
        assert not any("call" in vars(layer) for layer in model.layers)


def test_metrics_of_several_outputs_do_not_change():
    distiller, batch = (
        two_linear_distillers(),
        (IDENTITY, {"a": LABELS, "b": LABELS}),
    )
    distiller.diagnose([batch])
    assert all(np.all(v.numpy() == 0) for v in distiller.metrics_variables)
    distiller.fit(*batch, verbose=0)
    before = [v.numpy() for v in distiller.metrics_variables]
    distiller.diagnose([batch])
    after = [v.numpy() for v in distiller.metrics_variables]
    np.testing.assert_array_equal(after, before)


def test_loss_combined_in_a_way_of_its_own_is_what_adapters_learn_from():
    class Deaf(Distiller):
        def combine(self, losses):
            return losses["student_loss"]

    distiller = Deaf(stack(5), stack(7), LossTerm("hint", pairs=ON_HIDDEN))
    distiller.compile("sgd", LABEL_LOSS)
    diagnosis = distiller.diagnose([data()])
    assert diagnosis.adapters_without_gradient == [
        "hint_loss: hidden -> hidden"
    ]


def test_training_goes_on_as_if_nothing_had_been_asked():
    def trained(asks):
        keras.utils.set_random_seed(0)
        student, teacher = full(4, 1), full(6, 2)
        distiller = distil(student, teacher)
        x, y = random(0, 6, 6, 6, 1), np.arange(6) % 3
        distiller.fit(x, y, verbose=0, shuffle=False)
        if asks:
            distiller.diagnose([(x, y)])
        distiller.fit(x, y, verbose=0, shuffle=False)
        return student.get_weights()

    for one, other in zip(trained(False), trained(True), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_labels_of_several_classes_have_no_accuracy_in_any_batch():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("f")
    one, several = np.eye(3, dtype="f")[[0, 1, 2, 0]], np.ones((4, 3), "f")
    student, teacher = dense(np.eye(3)), dense(2 * np.eye(3))
    for data in ([(x, one), (x, several)], [(x, several), (x, one)]):
        distiller = distil(student, teacher, "sigmoid_targets", loss="mse")
        diagnosis = distiller.diagnose(data)
        assert (diagnosis.num_examples, diagnosis.accuracy) == (8, {})
