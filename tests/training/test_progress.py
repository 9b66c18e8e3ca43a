import re
from types import SimpleNamespace

import pytest
from absl import logging

from kd_tf.training.progress import ProgressLines, _duration


@pytest.fixture
def lines(monkeypatch):
    """The lines that are logged, as they are formatted."""
    logged = []
    monkeypatch.setattr(
        logging, "info", lambda text, *values: logged.append(text % values)
    )
    return logged


def run(best_epochs, *, epochs, first_epoch=0):
    """The callback over an epoch for each of `best_epochs`."""
    checkpoint = SimpleNamespace(best_epoch=None)
    callback = ProgressLines("teach", checkpoint, score="val_accuracy")
    callback.set_params({"epochs": epochs})
    callback.on_train_begin()
    for epoch, best in enumerate(best_epochs, first_epoch):
        checkpoint.best_epoch = best
        callback.on_epoch_end(epoch, {"val_accuracy": 0.9, "loss": 0.25})


def test_an_epoch_is_one_line(lines):
    run([0], epochs=1)
    assert lines == [
        "teach: epoch 1 of 1, 0 s left, val_accuracy 0.9000 (best in 1), "
        "loss 0.2500"
    ]


def test_before_a_best_epoch_none_is_named(lines):
    run([None, 1], epochs=2)
    assert "best" not in lines[0]
    assert "(best in 2)" in lines[1]


def test_a_resumed_training_is_timed_from_where_it_began(lines, monkeypatch):
    clock = iter([100.0, 110.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    run([7], epochs=10, first_epoch=7)
    # One epoch took 10 s, and two are left.
    assert re.match("teach: epoch 8 of 10, 20 s left", lines[0])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3720, "1 h 02 min")],
)
def test_durations(seconds, words):
    assert _duration(seconds) == words
