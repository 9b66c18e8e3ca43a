"""Errors: what is wrong, what to do, what was received."""

import keras
import pytest
from keras import ops

from kd_tf import Distiller, LossTerm
from tests.distillation.distiller_cases import (
    HINT,
    as_dict,
    conv,
    data,
    distil,
    evaluated,
    mlp,
    soft,
    two_outputs,
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Distiller(mlp(1), mlp(2), "soft_target"),
            "There is no loss 'soft_target'.* Allowed: soft_targets, .*"
            "Received: 'soft_target'",
        ),
        (
            lambda: Distiller(mlp(1), mlp(2), 3),
            "A loss must be a name, a function .* Received: 3",
        ),
        (
            lambda: Distiller(mlp(1), mlp(2), []),
            r"nothing to learn .* Give at least one loss. Received: .*\[\]",
        ),
        (
            lambda: Distiller(mlp(1), mlp(2), {"a": None}),
            "nothing to learn .* Give at least one loss. Received: ",
        ),
        (
            lambda: Distiller(mlp(1), "teacher.keras"),
            "`teacher` must be a keras.Model. Received: 'teacher.keras'",
        ),
        *(
            (
                lambda w=w: Distiller(mlp(1), mlp(2), student_weight=w),
                rf"`student_weight` must lie in \[0, 1\].* Received: .*={w}",
            )
            for w in (-0.1, 1.1, float("nan"))
        ),
        *(
            (
                lambda t=t: LossTerm("soft_targets", temperature=t),
                f"`temperature` must be .* Received: .*={t}",
            )
            for t in (0, -1.0, float("nan"))
        ),
        (
            lambda: distil().fit(data()[0], verbose=0),
            "There is no loss on labels. Give data .* Received: .*0.3",
        ),
        (
            lambda: distil(loss=None).fit(*data(), verbose=0),
            "There is no loss on labels. Give data .* Received: .*0.3",
        ),
        (
            lambda: distil("decoupled", weight=0).fit(data()[0], verbose=0),
            "'decoupled_loss' needs labels. Give data .* Received: none",
        ),
        (
            lambda: distil(lambda s, t: ops.mean(s - t)).fit(*data()),
            "must give one value an example, .* Received: a scalar",
        ),
        (
            lambda: distil({"c": "soft_targets"}).fit(*data(), verbose=0),
            "no output 'c'. Allowed: .* Received: 'c'",
        ),
    ],
)
def test_refused_with_the_remedy_and_what_was_received(make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make()


def test_losses_of_one_name_get_different_names():
    loss_terms = [LossTerm("soft_targets", temperature=t) for t in (1.0, 2.0)]
    student, teacher, (x, y) = mlp(1), mlp(2), data()
    distiller = distil(
        [*loss_terms, LossTerm("rkd_distance", name="loss")],
        models=(student, teacher),
    )
    logs = evaluated(distiller, x, y)
    assert logs.keys() == {
        *("loss", "student_loss", "loss_2"),
        *("soft_targets_loss", "soft_targets_loss_2"),
    }
    names = "soft_targets_loss", "soft_targets_loss_2"
    for name, temperature in zip(names, (1, 2), strict=True):
        by_hand = soft(student(x), teacher(x), temperature)
        assert logs[name] == pytest.approx(by_hand, rel=1e-5)
    assert [loss_term.name for loss_term in loss_terms] == [
        "soft_targets_loss"
    ] * 2


def test_an_output_that_no_model_has_is_refused_at_once():
    student, teacher = two_outputs(1, as_dict), two_outputs(2, as_dict)
    with pytest.raises(ValueError, match=r"no output 'c'. Allowed: 'a', 'b'"):
        Distiller(student, teacher, {"c": "soft_targets"})


def test_a_loss_of_keras_on_softmax_outputs_is_refused():
    teacher = keras.Sequential([mlp(2), keras.layers.Softmax()])
    loss = keras.distillation.LogitsDistillation(2.0)
    with pytest.raises(ValueError, match="The teacher ends in softmax"):
        Distiller(mlp(1), teacher, loss)


@pytest.mark.parametrize("name", ["soft_targets", "decoupled", "dist"])
def test_one_logit_is_no_softmax(name):
    def binary(seed):
        return keras.Sequential([mlp(seed), keras.layers.Dense(1)])

    x, y = data()
    distiller = Distiller(binary(1), binary(2), name, student_weight=0.0)
    distiller.compile("sgd")
    with pytest.raises(ValueError, match="For one logit use 'sigmoid_targets'"):
        distiller.fit(x, y % 2, verbose=0)


def test_a_teacher_that_would_be_trained_is_refused():
    x = keras.Input((4,))
    shared = keras.layers.Dense(5, name="shared")
    student, teacher = (
        keras.Model(x, keras.layers.Dense(3)(shared(x))) for _ in range(2)
    )
    with pytest.raises(ValueError, match=r"would train its teacher.*shared/k"):
        Distiller(student, teacher)
    shared.trainable = False
    Distiller(student, teacher)


def test_a_teacher_with_further_outputs_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"keras.Model\(teacher.inputs, "):
        Distiller(mlp(1), two_outputs(2, list))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"student_weight": "0.5"}, "student_weight='0.5'"),
        ({"teacher_input": (9, 9)}, "must be a function of the student's"),
    ],
)
def test_options_of_the_wrong_type_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        Distiller(mlp(1), mlp(2), **option)


def test_pairs_are_on_record():
    distiller = distil([HINT], models=(conv(1, 2), conv(2, 3)))
    assert distiller.pairs == {"hint_loss": HINT.pairs}
