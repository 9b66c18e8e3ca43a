import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf import EpochCheckpoint

X = np.random.default_rng(0).normal(size=(32, 4)).astype("f")
Y = np.arange(32) % 3


def new_student():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(3),
        ]
    )


def fit(folder, epochs, student=None, stop_after=None, **options):
    """Trains to `epochs`, or is killed after `stop_after`."""
    student = student or new_student()
    student.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.05, epochs * 4)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    checkpoint = EpochCheckpoint(str(folder), student, **options)
    first = checkpoint.resume(student)
    student.fit(
        tf.data.Dataset.from_tensor_slices((X, Y)).batch(8),
        initial_epoch=first,
        epochs=stop_after or epochs,
        validation_data=(X, Y),
        callbacks=[checkpoint],
        verbose=0,
    )
    return student, checkpoint


def test_resumed_training_ends_in_the_same_bits(tmp_path):
    for name in ("whole", "halved"):
        (tmp_path / name).mkdir()
    whole, expected = fit(tmp_path / "whole", 5)
    fit(tmp_path / "halved", 5, stop_after=2)
    resumed, checkpoint = fit(tmp_path / "halved", 5)
    assert len(expected.history) == 5
    assert checkpoint.history == expected.history
    for a, b in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_best_epoch_comes_back(tmp_path):
    student, checkpoint = fit(tmp_path, 5)
    checkpoint.restore_best()
    scores = student.evaluate(X, Y, verbose=0, return_dict=True)
    best = checkpoint.history[checkpoint.best_epoch]
    assert scores["accuracy"] == pytest.approx(best["val_accuracy"])
    assert scores["loss"] == pytest.approx(best["val_loss"], rel=1e-5)


def score(accuracy, loss):
    return {"val_accuracy": accuracy, "val_loss": loss}


@pytest.mark.parametrize(
    ("history", "first", "best"),
    [
        ([score(0.5, 1), score(0.7, 9), score(0.6, 0)], 0, 1),
        ([score(0.5, 2), score(0.5, 1), score(0.5, 3)], 0, 1),
        ([score(0.5, 1), score(0.5, 1)], 0, 0),
        ([score(0.9, 1), score(0.5, 1), score(0.6, 1)], 1, 2),
        ([score(0.9, 1)], 1, None),
        ([], 0, None),
    ],
)
def test_best_is_most_accurate_then_least_loss_then_first(
    tmp_path, history, first, best
):
    checkpoint = EpochCheckpoint(
        str(tmp_path), new_student(), first_eligible_epoch=first
    )
    checkpoint.history = history
    assert checkpoint.best_epoch == best


def test_further_variables_are_kept(tmp_path):
    extra = tf.Variable([1.0, 2.0])
    fit(tmp_path, 2, also=[extra])
    restored = tf.Variable([0.0, 0.0])
    fit(tmp_path, 2, also=[restored])
    np.testing.assert_array_equal(restored, [1.0, 2.0])


def test_half_written_file_is_not_taken_for_a_checkpoint(tmp_path):
    (tmp_path / "state.npz.partial").write_bytes(b"half")
    checkpoint = fit(tmp_path, 1)[1]
    assert len(checkpoint.history) == 1


def test_divergence_is_reported(tmp_path):
    student = new_student()
    student.layers[-1].bias.assign([np.nan] * 3)
    with pytest.raises(
        ValueError, match=r"diverged in epoch 1: .* Received: .*nan"
    ):
        fit(tmp_path, 2, student)
    assert not list(tmp_path.iterdir())


def test_epoch_without_a_score_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"metric 'mean_iou'. Received: .*loss"
    ):
        fit(tmp_path, 1, score="mean_iou")
    assert not list(tmp_path.iterdir())
