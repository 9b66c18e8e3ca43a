"""The table of losses says what configs, messages and tests need."""

import dataclasses
import inspect
import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from kd_tf import LossTerm
from kd_tf.distillation.loss_table import LOSSES, LossSpec, custom_spec
from kd_tf.ranges import NonNegative, Positive
from kd_tf.specs import REQUIRED
from tests.conftest import ROOT
from tests.distillation.cases import data, distil, models

# {loss: {argument: (range, default)}}
ARGUMENTS = {
    "soft_targets": {"temperature": (Positive, 4.0)},
    "logit_matching": {},
    "decoupled": {
        "temperature": (Positive, 4.0),
        "alpha": (NonNegative, 1.0),
        "beta": (NonNegative, 8.0),
    },
    "dist": {
        "temperature": (Positive, 4.0),
        "beta": (NonNegative, 2.0),
        "gamma": (NonNegative, 2.0),
    },
    "weighted_soft_labels": {"temperature": (Positive, 4.0)},
    "sigmoid_targets": {"temperature": (Positive, 4.0)},
    "value_matching": {},
    "teacher_bounded": {"margin": (NonNegative, 0.0)},
    "hint": {},
    "attention_transfer": {},
    "fsp": {},
    "channel_wise": {"temperature": (Positive, 4.0)},
    "neuron_selectivity": {},
    "variational_information": {},
    "masked_generation": {},
    "inter_channel": {},
    "rkd_distance": {},
    "rkd_angle": {},
    "similarity_preserving": {},
    "correlation_congruence": {"gamma": (NonNegative, 0.4)},
    "probabilistic_transfer": {},
    "contrastive": {"temperature": (Positive, 0.1)},
}


def names(fact):
    return {name for name, spec in LOSSES.items() if fact(spec)}


def test_arguments_are_those_written_here():
    arguments = {
        name: {k: (a.annotation, a.default) for k, a in spec.arguments.items()}
        for name, spec in LOSSES.items()
    }
    assert arguments == ARGUMENTS
    assert list(LOSSES) == list(ARGUMENTS)


def test_reading_the_table_imports_neither_tensorflow_nor_keras():
    code = (
        "import sys\n"
        "from kd_tf.distillation.loss_table import LOSSES\n"
        "assert all(spec.arguments is not None for spec in LOSSES.values())\n"
        "assert LOSSES['decoupled'].settable[-1] == 'beta'\n"
        "assert not {'tensorflow', 'keras'} & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", LOSSES)
def test_source_and_function_agree_on_the_arguments(name):
    spec = LOSSES[name]
    parameters = list(inspect.signature(spec.load()).parameters.values())[2:]
    settable = [p for p in parameters if p.name not in LossSpec.supplied]
    assert [p.name for p in settable] == list(spec.arguments)
    for parameter in settable:
        argument = spec.arguments[parameter.name]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default == argument.default != REQUIRED
        assert parameter.annotation == argument.annotation
        assert argument.description


@pytest.mark.parametrize("name", LOSSES)
def test_row_says_what_it_is(name):
    spec = LOSSES[name]
    assert spec.is_readable
    assert spec.summary.endswith(".")
    assert spec.title.endswith(")")
    assert issubclass(
        spec.load_adapter(),
        LOSSES["hint"].load_adapter(),
    )


def test_no_title_stands_twice():
    assert len({spec.title for spec in LOSSES.values()}) == len(LOSSES)


def test_tasks_that_a_loss_fits():
    assert names(lambda spec: not spec.fits("values")) == {
        "soft_targets",
        "decoupled",
        "dist",
        "weighted_soft_labels",
        "sigmoid_targets",
    }
    assert names(lambda spec: not spec.fits("logits")) == {
        "value_matching",
        "teacher_bounded",
    }


def test_losses_to_which_probabilities_are_wrong():
    assert names(lambda spec: spec.takes_logits) == {
        "soft_targets",
        "logit_matching",
        "decoupled",
        "dist",
        "weighted_soft_labels",
        "sigmoid_targets",
    }


def test_losses_that_apply_softmax():
    assert names(lambda spec: spec.uses_softmax) == {
        "soft_targets",
        "decoupled",
        "dist",
        "weighted_soft_labels",
    }
    for name in names(lambda spec: spec.uses_softmax):
        assert "temperature" in LOSSES[name].arguments


def test_losses_that_need_a_grid():
    assert names(lambda spec: spec.needs_grid) == {
        "attention_transfer",
        "fsp",
        "channel_wise",
        "neuron_selectivity",
        "masked_generation",
        "inter_channel",
    }


@pytest.mark.parametrize(
    ("name", "settable"),
    [
        ("soft_targets", ("weight", "transform", "temperature")),
        ("logit_matching", ("weight", "transform")),
        ("hint", ("weight", "pairs")),
        ("channel_wise", ("weight", "pairs", "temperature")),
        ("correlation_congruence", ("weight", "pairs", "gamma")),
    ],
)
def test_settable_is_all_that_a_user_may_set(name, settable):
    assert LOSSES[name].settable == settable


def test_pairs_are_required_between_layers_alone():
    required = names(lambda spec: spec.requires_pairs)
    assert required == names(lambda spec: spec.knowledge == "feature")
    assert required < names(lambda spec: spec.takes_pairs)


def made_up_loss(student, teacher, *, labels, factor: Positive = 2.0):
    """Distance from the label, times a factor."""
    return factor * ops.abs(ops.cast(labels, "float32"))


def test_a_function_without_a_row_has_a_spec():
    spec = LOSSES.find(f"{__name__}:made_up_loss")
    assert spec == custom_spec(f"{__name__}:made_up_loss")
    assert (spec.knowledge, spec.title) == ("custom", "made_up_loss")
    assert spec.settable == ("weight", "pairs", "transform", "factor")
    assert spec.arguments["factor"].annotation == Positive
    assert (spec.fits("logits"), spec.fits("values")) == (True, True)


def test_one_function_and_one_row_add_a_loss(monkeypatch):
    spec = LossSpec(
        f"{__name__}:made_up_loss", knowledge="response", title="made up"
    )
    monkeypatch.setitem(LOSSES, "made_up", spec)
    x, y = data()
    loss_term = LossTerm("made_up", factor=3.0)
    assert loss_term.name == "made_up_loss"
    # Labels 0, 1 and 2, twice each, times 3.
    assert distil(loss_term, x, y) == pytest.approx(3.0)
    with pytest.raises(ValueError, match="`factor` must be greater than 0"):
        LossTerm("made_up", factor=0.0)
    with pytest.raises(ValueError, match="compares outputs"):
        LossTerm("made_up", pairs="auto")


def test_a_row_may_serve_another_function_between_layers(monkeypatch):
    spec = dataclasses.replace(LOSSES["hint"], title="hints of our own")
    monkeypatch.setitem(LOSSES, "own_hint", spec)
    x, y = data()
    pairs = [("logits", "logits")]
    student, teacher = models()
    by_hand = np.mean(np.square(np.array(student(x)) - np.array(teacher(x))))
    loss = distil(LossTerm("own_hint", pairs=pairs), x, y)
    assert loss == pytest.approx(by_hand, rel=1e-5)
