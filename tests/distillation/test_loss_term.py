import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf import Distiller, LossTerm
from kd_tf.distillation.loss_table import LOSSES
from tests.distillation.cases import PAIRS, data, distil, models, tiny

BY_KNOWLEDGE = {
    knowledge: [n for n, spec in LOSSES.items() if spec.knowledge == knowledge]
    for knowledge in ("response", "feature", "relation")
}


def mean_difference(student, teacher):
    return tf.reduce_mean(tf.square(student - teacher), axis=-1)


def with_labels(student, teacher, labels, factor=1.0):
    return factor * tf.cast(labels, "float32")


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # of the logits
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_trains_a_step_on_pairs_found_by_itself(name):
    student, teacher = tiny(4), models()[1]
    spec = LOSSES[name]
    pairs = "auto" if spec.takes_pairs else None
    distiller = Distiller(
        student, teacher, LossTerm(name, pairs=pairs), student_weight=0
    )
    distiller.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    adapters = [
        variable
        for bound_loss in distiller.bound_losses
        for variable in bound_loss.trainable_variables
    ]
    before = [[v.numpy() for v in vs] for vs in (student.variables, adapters)]
    x, y = data()
    if spec.outputs == "values":  # labels are quantities, not classes
        y = np.eye(3)[y]
    history = distiller.fit(x, y, batch_size=6, verbose=0).history
    assert np.isfinite(history[f"{name}_loss"]).all()
    changed = [
        [np.any(old != new.numpy()) for old, new in zip(*both, strict=True)]
        for both in zip(before, (student.variables, adapters), strict=True)
    ]
    assert any(changed[0])
    if "width" in spec.equal:  # the two models differ in it
        assert any(changed[1])
    else:
        assert adapters == []


@pytest.mark.parametrize("name", LOSSES)
def test_history_name_ends_in_loss(name):
    pairs = PAIRS if LOSSES[name].requires_pairs else None
    assert LossTerm(name, pairs=pairs).name == f"{name}_loss"


def test_unknown_loss_is_refused_with_all_names():
    with pytest.raises(ValueError, match="no loss 'soft_target'") as raised:
        LossTerm("soft_target")
    for name in LOSSES:
        assert name in str(raised.value)
    assert "Received: 'soft_target'" in str(raised.value)


@pytest.mark.parametrize("loss", [3, None, ["hint"]])
def test_what_is_no_loss_is_refused(loss):
    with pytest.raises(ValueError, match="must be a name, a function") as e:
        LossTerm(loss)
    assert f"Received: {loss!r}" in str(e.value)


@pytest.mark.parametrize(
    ("name", "argument", "allowed"),
    [
        ("soft_targets", "temprature", "temperature"),
        ("correlation_congruence", "temperature", "gamma"),
        ("logit_matching", "temperature", "none"),
        # Data and adapters set these, no user.
        ("decoupled", "labels", "temperature, alpha, beta"),
    ],
)
def test_unknown_argument_is_refused_with_those_allowed(
    name, argument, allowed
):
    with pytest.raises(ValueError, match=f"no argument '{argument}'") as e:
        LossTerm(name, **{argument: 2.0})
    assert f"Allowed: {allowed}. Received: {argument}=2.0" in str(e.value)


def test_variance_is_set_by_no_user():
    with pytest.raises(ValueError, match="no argument 'raw_variance'"):
        LossTerm("variational_information", pairs=PAIRS, raw_variance=1.0)


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("temperature", v) for v in (0, -1.0, NAN, INFINITY, -INFINITY)),
        *(("weight", v) for v in (-0.1, NAN, INFINITY)),
        *(("beta", v) for v in (-2, NAN, INFINITY)),
        ("temperature", np.float32("nan")),
        ("weight", np.float32(-1)),
    ],
)
def test_argument_out_of_its_range_is_refused(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be") as raised:
        LossTerm("dist", **{argument: value})
    assert f"Received: {argument}={value}" in str(raised.value)


@pytest.mark.parametrize(
    "arguments", [{"weight": 0}, {"temperature": 1e-3}, {"beta": 0.0}]
)
def test_arguments_at_the_edge_of_their_range_are_taken(arguments):
    LossTerm("dist", **arguments)


def test_schedules_are_taken_in_place_of_numbers():
    loss_term = LossTerm(
        "dist", temperature=lambda step: 4.0, weight=lambda s: s
    )
    assert loss_term.temperature(0) == 4.0


def test_temperature_is_the_one_given_or_that_of_the_loss():
    assert LossTerm("soft_targets", temperature=2).temperature == 2
    assert LossTerm("soft_targets").temperature == 4
    assert LossTerm("contrastive").temperature == 0.1
    assert LossTerm("logit_matching").temperature is None


@pytest.mark.parametrize("name", BY_KNOWLEDGE["feature"])
def test_loss_between_layers_without_pairs_is_refused(name):
    with pytest.raises(ValueError, match=f"'{name}_loss' compares layers") as e:
        LossTerm(name)
    assert "Set pairs='auto', or" in str(e.value)
    assert "Received: pairs=None" in str(e.value)


@pytest.mark.parametrize("pairs", ["auto", PAIRS])
@pytest.mark.parametrize("name", BY_KNOWLEDGE["response"])
def test_loss_between_outputs_with_pairs_is_refused(name, pairs):
    with pytest.raises(ValueError, match=r"compares outputs. Leave `pairs`"):
        LossTerm(name, pairs=pairs)


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        "conv_1",
        "ab",
        ["ab"],
        [("conv_1",)],
        [("conv_1", "conv_2", "conv_3")],
        [("conv_1", 2)],
        [None],
        [1, 2],
        {"ab": "cd"},
        7,
    ],
    ids=str,
)
def test_malformed_pairs_are_refused(pairs):
    with pytest.raises(ValueError, match="`pairs` must be None, 'auto'") as e:
        LossTerm("hint", pairs=pairs)
    assert f"Received: pairs={pairs!r}" in str(e.value)


@pytest.mark.parametrize("pair", [list, tuple])
def test_pairs_may_be_lists_as_in_a_config(pair):
    pairs = [pair(p) for p in PAIRS]
    assert LossTerm("fsp", pairs=pairs).pairs == pairs


def test_flow_between_layers_needs_two_pairs():
    with pytest.raises(ValueError, match="looks at 2 layers together") as e:
        LossTerm("fsp", pairs=PAIRS[:1])
    assert "needs at least 2 pairs" in str(e.value)
    assert f"Received: pairs={PAIRS[:1]!r}" in str(e.value)


@pytest.mark.parametrize("transform", ["standardise", 3])
def test_unknown_transform_is_refused(transform):
    with pytest.raises(ValueError, match="must be 'standardize' or") as e:
        LossTerm("soft_targets", transform=transform)
    assert f"Received: transform={transform!r}" in str(e.value)


def test_function_is_a_loss_under_its_own_name():
    student, teacher = models()
    loss_term = LossTerm(mean_difference)
    assert (loss_term.name, loss_term.takes_labels) == (
        "mean_difference",
        False,
    )
    x, y = data()
    by_hand = np.mean(np.square(np.array(student(x)) - np.array(teacher(x))))
    assert distil(loss_term, x, y) == pytest.approx(by_hand, rel=1e-5)


def test_function_without_a_name_is_custom():
    assert LossTerm(lambda student, teacher: student).name == "custom"


def test_function_gets_labels_if_it_has_a_parameter_for_them():
    loss_term = LossTerm(with_labels, factor=3.0)
    assert loss_term.takes_labels
    # Labels 0, 1 and 2, twice each, times 3.
    assert distil(loss_term, *data()) == pytest.approx(3.0)


def test_function_between_layers_gets_labels_too():
    loss_term = LossTerm(with_labels, pairs=PAIRS)
    assert distil(loss_term, *data()) == pytest.approx(1.0)
