import keras
import pytest

from kd_tf import LossTerm
from kd_tf.distillation.compatibility import check_models, check_outputs
from kd_tf.distillation.loss_table import LOSSES

layers = keras.layers


def model(activation=None, outputs="a"):
    inputs = keras.Input((4,))
    heads = {
        name: layers.Dense(3, activation, name=name)(inputs) for name in outputs
    }
    return keras.Model(inputs, heads if len(heads) > 1 else heads[outputs])


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match=r"`student` must be a keras.Model"):
        check_models("student.keras", model())


def test_models_that_share_trained_weights_are_refused():
    shared = layers.Dense(3, name="shared")
    inputs = keras.Input((4,))
    pair = [keras.Model(inputs, shared(inputs)) for _ in range(2)]
    with pytest.raises(ValueError, match="would train its teacher") as raised:
        check_models(*pair)
    assert "Received: shared/kernel in both" in str(raised.value)
    shared.trainable = False
    assert check_models(*pair) is None


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize(
    "name", [n for n, spec in LOSSES.items() if spec.knowledge == "response"]
)
def test_probabilities_are_refused_where_logits_are_needed(name, role):
    models = {"student": model(), "teacher": model(), role: model("softmax")}
    loss_term = LossTerm(name)
    if LOSSES[name].takes_logits:
        with pytest.raises(ValueError, match=f"The {role} ends in softmax"):
            check_outputs(*models.values(), loss_term=loss_term)
    else:
        assert check_outputs(*models.values(), loss_term=loss_term) is None


@pytest.mark.parametrize("output", [None, "b"])
def test_a_teacher_that_lacks_an_output_is_refused(output):
    student, teacher = model(outputs="ab"), model(outputs="ac")
    loss_term = LossTerm("soft_targets", output=output)
    with pytest.raises(ValueError, match="that the teacher lacks") as raised:
        check_outputs(student, teacher, loss_term=loss_term)
    assert "student ['a', 'b'], teacher ['a', 'c']" in str(raised.value)
    only = LossTerm("soft_targets", output="a")
    assert check_outputs(student, teacher, loss_term=only) is None
