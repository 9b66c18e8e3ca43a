"""Losses on probabilities are refused where they would get logits."""

import functools

import keras
import pytest
from keras import losses

from kd_tf import Distiller, LossTerm
from kd_tf.distillation.probability_losses import refuse_label_losses
from tests.distillation.distiller_cases import as_dict, mlp, two_outputs

SPARSE = losses.SparseCategoricalCrossentropy
IN_LOGITS = functools.partial(
    losses.sparse_categorical_crossentropy, from_logits=True
)


def focal(y_true, y_pred, from_logits=False):
    return losses.binary_crossentropy(y_true, y_pred, from_logits)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("sparse_categorical_crossentropy", SPARSE.__name__),
        ("SparseCategoricalCrossentropy", SPARSE.__name__),
        ("categorical_crossentropy", "CategoricalCrossentropy"),
        ("binary_crossentropy", "BinaryCrossentropy"),
        ("binary_focal_crossentropy", "BinaryFocalCrossentropy"),
        (losses.sparse_categorical_crossentropy, SPARSE.__name__),
        (SPARSE(), SPARSE.__name__),
        (losses.CategoricalCrossentropy(), "CategoricalCrossentropy"),
        (losses.BinaryCrossentropy(), "BinaryCrossentropy"),
        (
            losses.CategoricalFocalCrossentropy(),
            "CategoricalFocalCrossentropy",
        ),
    ],
)
def test_label_losses_on_probabilities_are_refused(loss, name):
    with pytest.raises(ValueError, match="The student outputs logits") as e:
        Distiller(mlp(1), mlp(2)).compile("sgd", loss)
    remedy = f"Set from_logits=True: keras.losses.{name}(from_logits=True)"
    assert remedy in str(e.value)
    assert "Received: loss=" in str(e.value)


@pytest.mark.parametrize("loss", ["kl_divergence", losses.Dice(), focal])
def test_losses_without_the_option_are_refused_too(loss):
    with pytest.raises(ValueError, match="The student outputs logits"):
        Distiller(mlp(1), mlp(2)).compile("sgd", loss)


@pytest.mark.parametrize(
    "loss",
    [
        *(None, "mse", "huber", "poisson", "no_such_loss", IN_LOGITS),
        SPARSE(from_logits=True),
        losses.MeanSquaredError(),
        lambda y, logits: keras.ops.mean(logits, axis=-1),
    ],
)
def test_all_others_are_taken(loss):
    assert refuse_label_losses(loss, mlp(1)) is None


@pytest.mark.parametrize("nest", [list, as_dict])
@pytest.mark.parametrize("given", [list, as_dict])
def test_losses_of_several_outputs_are_checked_one_by_one(nest, given):
    distiller = Distiller(two_outputs(1, nest), two_outputs(5, nest))
    right = SPARSE(from_logits=True)
    distiller.compile("sgd", given([right, right]))
    with pytest.raises(ValueError, match=r"logits for output ('b'|1), but"):
        distiller.compile("sgd", given([right, SPARSE()]))
    with pytest.raises(ValueError, match="The student outputs logits, but"):
        distiller.compile("sgd", "sparse_categorical_crossentropy")


def test_an_output_of_probabilities_may_have_such_a_loss():
    def model(seed):
        x = keras.Input((4,))
        inner = mlp(seed)(x)
        softmax = keras.layers.Softmax(name="p")(inner)
        return keras.Model(x, {"z": inner, "p": softmax})

    distiller = Distiller(model(1), model(2), {"z": "soft_targets"})
    both = {"z": SPARSE(from_logits=True), "p": SPARSE()}
    distiller.compile("sgd", both)
    with pytest.raises(ValueError, match="logits for output 'z'"):
        distiller.compile("sgd", {"z": SPARSE(), "p": SPARSE()})


@pytest.mark.parametrize(
    "loss",
    [
        losses.kl_divergence,
        losses.KLDivergence(),
        losses.KLDivergence(reduction=None),
        losses.categorical_crossentropy,
        functools.partial(losses.binary_crossentropy, from_logits=True),
        losses.CategoricalCrossentropy(from_logits=True),
        "keras.losses:kl_divergence",
    ],
    ids=lambda loss: getattr(loss, "__name__", type(loss).__name__),
)
def test_as_distillation_losses_they_are_refused(loss):
    with pytest.raises(ValueError, match="Use 'soft_targets'") as raised:
        LossTerm(loss)
    assert "Received: keras.losses." in str(raised.value)


def test_symmetric_losses_of_keras_serve_between_logits():
    assert LossTerm(losses.mean_squared_error).name == "mean_squared_error"
