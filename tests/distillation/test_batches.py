import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation.batches import batches

X = np.arange(10.0).reshape(5, 2)
Y = np.arange(5)
W = np.array([1, 0, 1, 1, 0], "f")


class Sequence(keras.utils.PyDataset):
    def __init__(self, count):
        super().__init__()
        self.count = count

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, index):
        return X[2 * index : 2 * index + 2], Y[2 * index : 2 * index + 2]


def generator(taken, count=3):
    for i in range(count):
        taken.append(i)
        yield X[2 * i : 2 * i + 2], Y[2 * i : 2 * i + 2]


FORMS = {
    "arrays": lambda: ((X, Y), {"batch_size": 2}),
    "a tuple of arrays": lambda: (((X, Y),), {"batch_size": 2}),
    "tensors": lambda: ((tf.constant(X, "float32"), Y), {"batch_size": 2}),
    "tf.data": lambda: (
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(2),),
        {},
    ),
    "a list of batches": lambda: (([*generator([])],), {}),
    "a tuple of batches": lambda: ((tuple(generator([])),), {}),
    "a generator": lambda: ((generator([]),), {}),
    "a PyDataset": lambda: ((Sequence(3),), {}),
}
forms = pytest.mark.parametrize("make", FORMS.values(), ids=FORMS)


@forms
def test_all_forms_give_the_same_batches(make):
    arguments, options = make()
    given = list(batches(*arguments, **options))
    assert all(tf.is_tensor(t) for batch in given for t in batch)
    for start, (x, y) in zip((0, 2, 4), given, strict=True):
        np.testing.assert_array_equal(x, X[start : start + 2])
        np.testing.assert_array_equal(y, Y[start : start + 2])


@forms
def test_steps_limit_the_batches(make):
    arguments, options = make()
    assert len(list(batches(*arguments, steps=2, **options))) == 2


def test_arrays_come_32_at_a_time_with_their_weights():
    x = np.zeros((40, 2))
    given = list(batches(x, np.zeros(40), sample_weight=np.ones(40)))
    assert [len(part[0]) for part in given] == [32, 8]
    # Doubles become floatx, as in `fit`.
    assert [t.dtype for t in given[0]] == [tf.float32] * 3


def test_weights_come_in_the_tuple():
    [(*_, weights)] = batches((X, Y, W))
    np.testing.assert_array_equal(weights, W)


@pytest.mark.parametrize("nest", [lambda a: [a, a], lambda a: {"a": a, "b": a}])
def test_inputs_of_several_arrays_stay_nested(nest):
    first, *_ = batches(nest(X), Y, batch_size=3)
    assert keras.tree.map_structure(lambda t: t.shape[0], first[0]) == nest(3)


@pytest.mark.parametrize("x", [X, {"a": X}])
def test_inputs_alone_are_batches_of_inputs(x):
    given = list(batches(x, batch_size=4))
    assert [keras.tree.flatten(b)[0].shape[0] for b in given] == [4, 1]


def test_no_batch_is_taken_beyond_the_steps():
    taken = []
    assert len(list(batches(generator(taken), steps=2))) == 2
    assert taken == [0, 1]


@pytest.mark.parametrize(
    "endless",
    [tf.data.Dataset.from_tensor_slices(X).batch(2).repeat(), Sequence(None)],
    ids=["tf.data", "PyDataset"],
)
def test_data_without_an_end_needs_steps(endless):
    with pytest.raises(ValueError, match=r"no end. Set `steps`"):
        batches(endless)
    assert len(list(batches(endless, steps=2))) == 2


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X,), {"steps": 0}, r"`steps` must be a whole number.*steps=0"),
        ((X,), {"batch_size": 1.5}, r"`batch_size` must .*batch_size=1.5"),
        ((X, Y[:3]), {}, r"same number of examples.*\[3, 5\]"),
        (([X],), {"batch_size": 2}, r"`batch_size` is for arrays"),
        ((tf.data.Dataset.range(3), Y), {}, r"brings its own.*RangeDataset"),
        ((3,), {}, r"as `fit` takes them. Received: int"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        batches(*arguments, **options)
