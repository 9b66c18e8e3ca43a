import dataclasses

from kd_tf.reporting.schedules import schedule_pictures
from kd_tf.results import ScheduleRecord
from tests.reporting import hand_made


def test_quantity_has_a_line_for_each_variant_that_has_it():
    results = hand_made.results()
    ramp = ScheduleRecord("4 to 1 in 9 steps, linear", [0, 1], [4, 1])
    trainings = dict(results.trainings)
    trainings["student"] = dataclasses.replace(
        trainings["student"],
        schedules={"weight of loss 1, own.module:loss": ramp},
    )
    pictures = schedule_pictures(hand_made.results(trainings=trainings))
    assert [one.name for one in pictures] == [
        "schedule_learning_rate",
        # A name that every file system takes.
        "schedule_weight_of_loss_1_own_module_loss",
    ]
    rate, weight = (one.alt for one in pictures)
    described = "0.001 to 0 in 10 steps"
    assert rate == (
        f"Schedule of learning rate. teacher: {described}; "
        f"student on labels: {described}; pruned: {described}."
    )
    assert "student distilled: 4 to 1 in 9 steps, linear" in weight


def test_run_without_schedules_has_no_picture():
    assert schedule_pictures(hand_made.bare()) == []
