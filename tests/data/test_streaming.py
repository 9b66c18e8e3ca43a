import numpy as np
import pytest
import tensorflow as tf

from kd_tf.data.augmentation import Augmentation
from kd_tf.data.splitting.splits import Split
from kd_tf.data.streaming import (
    Normalization,
    Preprocessing,
    evaluation_stream,
    training_stream,
)

PLAIN = Preprocessing(Normalization(0.0, 1.0))


@pytest.fixture(autouse=True)
def global_seed():
    """Not 0, under which TensorFlow cannot shuffle by a tensor."""
    tf.random.set_seed(1)


@pytest.fixture
def split(tmp_path):
    """Example i is an image full of i, labelled i."""
    x = np.broadcast_to(np.arange(50)[:, None, None, None], (50, 2, 3, 1))
    np.save(tmp_path / "train_x.npy", x.astype("uint8"))
    np.save(tmp_path / "train_y.npy", np.arange(50))
    return Split.in_folder(tmp_path, "train")


def batches_of(split, preprocessing=PLAIN, **options):
    options = {
        "batch_size": 8,
        "epochs": range(3),
        "order_seed": 1,
        "augmentation_seed": 1,
        **options,
    }
    stream, steps = training_stream(split, preprocessing, **options)
    return list(stream.as_numpy_iterator()), steps


def epochs_of(split, **options):
    batches, steps = batches_of(split, **options)
    labels = [y for _, y in batches]
    return [
        np.concatenate(labels[i : i + steps]).tolist()
        for i in range(0, len(labels), steps)
    ]


def test_images_stay_with_their_labels(split):
    batches, steps = batches_of(split, epochs=range(1))
    assert len(batches) == steps == 7
    for x, y in batches:
        assert x.dtype == np.float32
        assert x.shape[1:] == (2, 3, 1)
        assert (x == y[:, None, None, None]).all()


def test_every_epoch_holds_every_example_in_an_order_of_its_own(split):
    epochs = epochs_of(split)
    assert len(epochs) == 3
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_resumed_training_sees_what_it_would_have_seen(split):
    assert epochs_of(split, epochs=range(1, 3)) == epochs_of(split)[1:]


def test_seeds_share_no_order(split):
    orders = [
        tuple(e)
        for seed in (1, 2, 3)
        for e in epochs_of(split, order_seed=seed)
    ]
    assert len(set(orders)) == 9


def test_shuffling_needs_no_more_memory_than_its_buffer(split, monkeypatch):
    monkeypatch.setattr("kd_tf.data.streaming._SHUFFLE_BUFFER_BYTES", 140)
    (epoch,) = epochs_of(split, epochs=range(1))
    assert sorted(epoch) == list(range(50))
    # An example and its label take 14 bytes. With ten of them in the buffer
    # none comes out more than ten places early.
    assert all(value < place + 10 for place, value in enumerate(epoch))
    assert epoch != sorted(epoch)


def test_evaluation_keeps_the_order_and_the_rest(split):
    stream = evaluation_stream(split, PLAIN, batch_size=8)
    batches = [y for _, y in stream.as_numpy_iterator()]
    np.testing.assert_array_equal(np.concatenate(batches), np.arange(50))
    assert int(stream.cardinality()) == len(batches) == 7


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [(0.0, 255.0, [0.0, 1.0]), ([55.0], [100.0], [-0.55, 2.0])],
)
def test_normalization_by_hand(mean, std, expected):
    pixels = np.array([[0], [255]], "uint8")
    normalized = Normalization(mean, std)(pixels)
    np.testing.assert_allclose(normalized[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_examples_of_every_type_and_masks_come_as_they_were(tmp_path, dtype):
    x = np.arange(24).reshape(4, 3, 2).astype(dtype) - 2
    y = np.arange(12).reshape(4, 3).astype("uint8")
    np.save(tmp_path / "test_x.npy", x)
    np.save(tmp_path / "test_y.npy", y)
    split = Split.in_folder(tmp_path, "test")
    ((examples, masks),) = evaluation_stream(
        split, PLAIN, batch_size=4
    ).as_numpy_iterator()
    np.testing.assert_array_equal(examples, x.astype("float32"))
    np.testing.assert_array_equal(masks, y)
    assert masks.dtype == np.int32


def test_targets_of_a_regression_are_normalized(split):
    preprocessing = Preprocessing(
        Normalization(0.0, 1.0), Normalization([10.0], [2.0])
    )
    stream = evaluation_stream(split, preprocessing, batch_size=50)
    ((_, y),) = stream.as_numpy_iterator()
    np.testing.assert_allclose(y, (np.arange(50) - 10) / 2)


AUGMENTED = Preprocessing(
    Normalization(0.0, 1.0), augment=Augmentation(50, colour=0.5)
)


def augmented(split, **options):
    batches, _ = batches_of(split, AUGMENTED, batch_size=20, **options)
    return batches


def test_augmentation_of_a_resumed_training_is_what_it_would_have_been(split):
    whole = augmented(split, epochs=range(2))
    resumed = augmented(split, epochs=range(1, 2))
    assert len(whole) == 6
    for (expected, _), (x, _) in zip(whole[3:], resumed, strict=True):
        np.testing.assert_array_equal(x, expected)
    assert not np.array_equal(whole[0][0], whole[3][0])


def test_order_and_augmentation_have_seeds_of_their_own(split):
    (x, y), *_ = augmented(split)
    (other_x, same_y), *_ = augmented(split, augmentation_seed=2)
    np.testing.assert_array_equal(same_y, y)
    assert not np.array_equal(other_x, x)
    (_, other_y), *_ = augmented(split, order_seed=2)
    assert not np.array_equal(other_y, y)


def test_evaluation_is_not_augmented(split):
    stream = evaluation_stream(split, AUGMENTED, batch_size=50)
    ((x, _),) = stream.as_numpy_iterator()
    np.testing.assert_array_equal(x[:, 0, 0, 0], np.arange(50))


def test_mixed_up_class_numbers_stream_as_fractions(split):
    preprocessing = Preprocessing(
        Normalization(0.0, 1.0), augment=Augmentation(50, mixup=1.0)
    )
    (x, y), *_ = batches_of(split, preprocessing)[0]
    assert y.shape == (8, 50)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    # Image i is full of i, so its mean is that of the classes.
    np.testing.assert_allclose(x[:, 0, 0, 0], y @ np.arange(50), rtol=1e-5)
