import dataclasses

import numpy as np
import pytest

from kd_tf import evaluate_models

MODELS = {
    "right": lambda x: np.eye(2, dtype="float32")[x % 2],
    "stubborn": lambda x: np.eye(2, dtype="float32")[x * 0],
    "broken": lambda x: np.full((len(x), 2), np.nan, "float32"),
}
X = np.arange(10)


def evaluate(models, references, batches):
    return evaluate_models(
        models, references, batches, task="classification", num_outputs=2
    )


def test_all_models_are_scored_in_one_pass():
    batches_read = []

    def batches():
        for i in range(0, 10, 4):
            batches_read.append(i)
            yield X[i : i + 4], X[i : i + 4] % 2

    evaluation = evaluate(MODELS, {"stubborn": "right"}, batches())
    scores = evaluation.scores
    assert batches_read == [0, 4, 8]
    assert scores["right"].scores["accuracy"] == 1
    assert scores["stubborn"].scores["accuracy"] == 0.5
    assert scores["stubborn"].agreement == 0.5
    assert scores["right"].agreement is None
    assert scores["broken"].not_finite == 20
    assert scores["right"].not_finite == 0
    confusion = evaluation.arrays["stubborn"]["confusion"]
    assert confusion.tolist() == [[5, 0], [5, 0]]
    assert evaluation.losses["right"].shape == (10,)


def test_losses_are_those_of_the_examples_in_their_order():
    # Of logits (1, 0): ln(1 + e^-1) for class 0, ln(1 + e) for class 1.
    models = {"stubborn": MODELS["stubborn"]}
    losses = evaluate(models, {}, [(X[:3], X[:3] % 2), (X[3:4], [1])]).losses
    by_hand = [np.log1p(np.exp(sign)) for sign in (-1, 1, -1, 1)]
    np.testing.assert_allclose(losses["stubborn"], by_hand, rtol=1e-6)


def test_outputs_that_are_not_finite_are_scored_as_zeros():
    models = {
        "broken": MODELS["broken"],
        "zeros": lambda x: np.zeros((len(x), 2), "float32"),
    }
    batches = [(X, X % 2)]
    evaluation = evaluate(models, {"broken": "zeros"}, batches)
    broken, zeros = (evaluation.scores[name] for name in models)
    assert broken.agreement == 1
    assert dataclasses.replace(broken, not_finite=0, agreement=None) == zeros


def test_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"no task 'ranking'. Allowed: class"):
        evaluate_models({}, {}, [], task="ranking", num_outputs=2)
