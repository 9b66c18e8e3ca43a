import dataclasses

from kd_tf.reporting.training import over_epochs, training_pictures
from tests.reporting import hand_made


def test_each_training_has_its_pictures():
    pictures = training_pictures(hand_made.results())
    assert [one.name for one in pictures] == [
        "training_teacher_loss",
        "training_teacher_score",
        "training_control_loss",
        "training_control_score",
        *(
            f"training_{name}_{what}"
            for name in ("student", "pruned")
            for what in ("loss", "score", "losses")
        ),
    ]
    assert pictures[0].alt == (
        "Loss of teacher over 2 epochs: training 1 to 0.9, validation 1 to 1."
        " Best epoch 2."
    )
    losses = "soft_targets_loss 0.3, student_loss 0.4, mine 0.2"
    assert losses in pictures[-1].alt


def test_model_that_was_loaded_has_none():
    results = hand_made.results()
    loaded = dataclasses.replace(
        results.trainings["teacher"], history=[], best_epoch=None
    )
    changed = hand_made.results(trainings={"teacher": loaded})
    assert training_pictures(changed) == []


def test_epochs_that_lack_a_key_are_left_out():
    history = [{"loss": 3.0}, {"loss": 2.0, "score": 0.5}]
    assert over_epochs(history, "loss") == ((1, 2), (3.0, 2.0))
    assert over_epochs(history, "score") == ((2,), (0.5,))
    assert over_epochs(history, "other") is None
