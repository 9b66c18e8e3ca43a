import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf import EpochCheckpoint
from kd_tf.training.array_files import (
    DamagedFileError,
    read_arrays,
    write_arrays,
)

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


class Trainer(keras.Model):
    """A student below layers that are trained with it and then dropped."""

    def __init__(self, student):
        super().__init__()
        self.student = student
        self.adapter = keras.layers.Dense(3)
        self.adapter.build((None, 3))
        self.dropout = keras.layers.Dropout(0.5)
        self.built = True

    def call(self, x, training=None):
        hidden = self.student(x, training=training)
        return self.adapter(self.dropout(hidden, training=training))


def compile_for(trainer, epochs):
    trainer.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.05, epochs * 4)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def fit(folder, epochs, student=None, *, stop_after=None, make=None, **options):
    """Trains to `epochs`, or is killed after `stop_after`."""
    student = student or new_student()
    trainer = make(student) if make else student
    compile_for(trainer, epochs)
    checkpoint = EpochCheckpoint(str(folder), student, **options)
    first = checkpoint.resume(trainer)
    trainer.fit(
        tf.data.Dataset.from_tensor_slices((X, Y)).batch(8),
        initial_epoch=first,
        epochs=stop_after or epochs,
        validation_data=(X, Y),
        callbacks=[checkpoint],
        verbose=0,
    )
    return trainer, checkpoint


@pytest.mark.parametrize("make", [None, Trainer])
def test_resumed_training_ends_in_the_same_bits(tmp_path, make):
    whole, expected = fit(tmp_path / "whole", 5, make=make)
    fit(tmp_path / "halved", 5, stop_after=2, make=make)
    resumed, checkpoint = fit(tmp_path / "halved", 5, make=make)
    assert len(expected.history) == 5
    assert checkpoint.history == expected.history
    assert len(whole.variables) == (7 if make is None else 10)
    for a, b in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_variable_is_written_once(tmp_path):
    student = new_student()
    trainer, _ = fit(
        tmp_path, 1, student, make=Trainer, variables=student.variables
    )
    with np.load(tmp_path / "state.npz") as arrays:
        names = set(arrays.files) - {"history", "layout"}
    variables = [*trainer.variables, *trainer.optimizer.variables]
    assert len(names) == len(variables)
    with np.load(tmp_path / "best.npz") as arrays:
        names = set(arrays.files) - {"history", "layout"}
    assert len(names) == len(student.variables) < len(trainer.variables)


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
    fit(tmp_path, 2, variables=[extra])
    restored = tf.Variable([0.0, 0.0])
    fit(tmp_path, 2, variables=[restored])
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


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Folder of a training killed after its first epoch."""
    folder = tmp_path_factory.mktemp("killed")
    fit(folder, 2, stop_after=1)
    return folder


def read(path):
    with np.load(path) as arrays:
        return {name: array.tolist() for name, array in arrays.items()}


def truncate(folder):
    state = folder / "state.npz"
    state.write_bytes(state.read_bytes()[:1000])


def flip(folder):
    state = folder / "state.npz"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)


def empty(folder):
    (folder / "state.npz").write_bytes(b"")


def remove_best(folder):
    (folder / "best.npz").unlink()


def truncate_best(folder):
    (folder / "best.npz").write_bytes(b"PK")


def write_former_layout(folder):
    with np.load(folder / "state.npz") as arrays:
        former = {name: arrays[name] for name in arrays.files}
    del former["layout"]
    np.savez(folder / "state.npz", **former)


@pytest.mark.parametrize(
    "damage",
    [truncate, flip, empty, remove_best, truncate_best, write_former_layout],
)
def test_training_starts_anew_where_a_checkpoint_is_damaged(
    tmp_path, killed, damage
):
    shutil.copytree(killed, tmp_path / "damaged")
    damage(tmp_path / "damaged")
    student = new_student()
    compile_for(student, 2)
    before = [np.array(variable) for variable in student.variables]
    checkpoint = EpochCheckpoint(tmp_path / "damaged", student)
    with pytest.warns(UserWarning, match=r"starts anew. Received: .*npz, "):
        assert checkpoint.resume(student) == 0
    assert checkpoint.history == []
    assert checkpoint.best_epoch is None
    for old, variable in zip(before, student.variables, strict=True):
        np.testing.assert_array_equal(old, variable)


def test_a_damaged_checkpoint_is_written_anew(tmp_path, killed):
    shutil.copytree(killed, tmp_path / "damaged")
    truncate(tmp_path / "damaged")
    with pytest.warns(UserWarning, match="starts anew"):
        fit(tmp_path / "damaged", 2, stop_after=1)
    for name in ("state.npz", "best.npz"):
        assert read(tmp_path / "damaged" / name) == read(killed / name)


def test_a_checkpoint_of_another_training_is_not_resumed_from(killed):
    student = new_student()
    compile_for(student, 2)
    assert EpochCheckpoint(killed, student).resume(student) == 1
    checkpoint = EpochCheckpoint(killed, student, score="mean_iou")
    with pytest.warns(UserWarning, match="not scored by 'mean_iou'"):
        assert checkpoint.resume(student) == 0
    trainer = Trainer(student)
    compile_for(trainer, 2)
    with pytest.warns(UserWarning, match="variables of another model"):
        assert EpochCheckpoint(killed, student).resume(trainer) == 0


def test_no_flipped_byte_changes_what_is_read(tmp_path):
    path, variables = str(tmp_path / "file.npz"), [tf.Variable([1.0, 2.0])]
    write_arrays(path, variables, [{"loss": 1.0}])
    content = (tmp_path / "file.npz").read_bytes()
    for i in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[i] ^= 0x10
        (tmp_path / "file.npz").write_bytes(flipped)
        try:
            [array], history = read_arrays(path, variables)
        except DamagedFileError:
            continue
        np.testing.assert_array_equal(array, [1.0, 2.0])
        assert history == [{"loss": 1.0}]


def test_best_that_there_is_not_is_refused(tmp_path):
    _, checkpoint = fit(tmp_path, 1, first_eligible_epoch=1)
    with pytest.raises(
        ValueError, match=r"No epoch can be the best.*first_eligible_epoch=1, e"
    ):
        checkpoint.restore_best()
    _, checkpoint = fit(tmp_path / "other", 1)
    remove_best(tmp_path / "other")
    with pytest.raises(ValueError, match=r"cannot be read\. Delete the folder"):
        checkpoint.restore_best()
