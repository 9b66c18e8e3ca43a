import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf.distillation.adapters import (
    MaskedGenerationAdapter,
    ProjectionWithNorm,
    ShapeAdapter,
    VarianceAdapter,
)
from kd_tf.losses.feature import variational_information_loss

GRID = (None, 4, 4, 3)


def activations(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("f")


def batch_of(shape, count=2):
    return activations(count, *shape[1:])


# Student, teacher, what must be equal, number of parameters by hand.
PAIRS = {
    "equal": (GRID, GRID, ("width", "grid"), 0),
    "width": (GRID, (None, 4, 4, 5), ("width", "grid"), 3 * 5 + 5),
    "shrinking grid": ((None, 8, 6, 3), GRID, ("width", "grid"), 0),
    "growing grid": ((None, 2, 3, 3), GRID, ("width", "grid"), 0),
    "uneven grid": ((None, 7, 9, 3), GRID, ("width", "grid"), 0),
    "both": ((None, 7, 2, 2), GRID, ("width", "grid"), 2 * 3 + 3),
    "vectors": ((None, 4), (None, 6), ("width", "grid"), 4 * 6 + 6),
    "equal vectors": ((None, 4), (None, 4), ("width", "grid"), 0),
    "sequences": ((None, 5, 2), (None, 8, 3), ("width", "grid"), 2 * 3 + 3),
}
battery = pytest.mark.parametrize(
    ("student", "teacher", "equal", "num_parameters"), PAIRS.values(), ids=PAIRS
)


@battery
def test_student_takes_the_shape_of_its_teacher(
    student, teacher, equal, num_parameters
):
    adapter = ShapeAdapter(student, teacher, equal=equal)
    x, y = batch_of(student), batch_of(teacher)
    adapted, same = adapter(x, y)
    assert adapted.shape == y.shape
    np.testing.assert_array_equal(same, y)


@battery
def test_number_of_parameters_is_that_by_hand(
    student, teacher, equal, num_parameters
):
    adapter = ShapeAdapter(student, teacher, equal=equal)
    assert adapter.count_params() == num_parameters
    assert len(adapter.trainable_variables) == (2 if num_parameters else 0)


def test_nothing_is_done_where_shapes_are_equal():
    x = batch_of(GRID)
    np.testing.assert_array_equal(ShapeAdapter(GRID, GRID)(x, x)[0], x)


def test_width_alone_leaves_the_grid():
    adapter = ShapeAdapter((None, 8, 8, 3), (None, 4, 4, 5), equal=("width",))
    adapted, _ = adapter(activations(2, 8, 8, 3), activations(2, 4, 4, 5))
    assert adapted.shape == (2, 8, 8, 5)
    assert adapter.count_params() == 3 * 5 + 5


def test_grid_alone_leaves_the_width():
    adapter = ShapeAdapter((None, 8, 8, 3), (None, 4, 4, 5), equal=("grid",))
    x = activations(2, 8, 8, 3)
    adapted, _ = adapter(x, activations(2, 4, 4, 5))
    blocks = x.reshape(2, 4, 2, 4, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(adapted, blocks, rtol=1e-5, atol=1e-6)
    assert adapter.count_params() == 0


def test_nothing_equal_leaves_all_and_takes_other_ranks():
    x, y = activations(2, 8, 8, 3), activations(2, 5)
    adapter = ShapeAdapter((None, 8, 8, 3), (None, 5), equal=())
    np.testing.assert_array_equal(adapter(x, y)[0], x)


def test_widths_are_adapted_at_each_position_by_the_kernel():
    adapter = ShapeAdapter(GRID, (None, 4, 4, 5))
    kernel, bias = activations(3, 5), np.arange(5, dtype="f")
    adapter.set_weights([kernel, bias])
    x = batch_of(GRID)
    adapted, _ = adapter(x, activations(2, 4, 4, 5))
    np.testing.assert_allclose(adapted, x @ kernel + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("equal", [("width",), ("grid",), ("width", "grid")])
def test_other_ranks_are_refused(equal):
    with pytest.raises(
        ValueError, match=r"two grids.*or two vectors"
    ) as raised:
        ShapeAdapter((None, 4, 4, 3), (None, 3), equal=equal)
    assert f"student {GRID}, teacher (None, 3)" in str(raised.value)


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((8, 8), (4, 4)), ((4, 4), (4, 4)), ((3, 5), (4, 4))],
)
def test_grids_not_known_beforehand_are_adapted_in_a_graph(student, teacher):
    unknown = (None, None, None, 3)
    adapter = ShapeAdapter(unknown, unknown)
    spec = tf.TensorSpec(unknown)

    @tf.function(input_signature=[spec, spec])
    def adapted(x, y):
        return adapter(x, y)[0]

    x, y = activations(2, *student, 3), activations(2, *teacher, 3)
    assert adapted(x, y).shape == y.shape
    if student == teacher:
        np.testing.assert_allclose(adapted(x, y), x, rtol=1e-6)


@pytest.fixture
def mixed_precision():
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(former)


@pytest.mark.parametrize(
    "adapter",
    [
        ShapeAdapter,
        VarianceAdapter,
        MaskedGenerationAdapter,
        ProjectionWithNorm,
    ],
)
def test_all_is_float32_under_mixed_precision(adapter, mixed_precision):
    layer = adapter((None, 6, 6, 3), (None, 4, 4, 5))
    assert {v.dtype for v in layer.trainable_variables} == {"float32"}
    student = activations(2, 6, 6, 3).astype("float16")
    teacher = activations(2, 4, 4, 5).astype("float16")
    for tensor in layer(student, teacher, training=True):
        assert keras.backend.standardize_dtype(tensor.dtype) == "float32"
    # float16 would round 1 + 2**-12 to 1.
    if adapter is ShapeAdapter:
        layer.set_weights([np.zeros((3, 5)), np.full(5, 1 + 2**-12)])
        assert np.all(np.array(layer(student, teacher)[0]) == 1 + 2**-12)


def test_variance_is_5_at_first():
    adapter = VarianceAdapter(GRID, (None, 4, 4, 5))
    *_, raw = adapter(batch_of(GRID), activations(2, 4, 4, 5))
    np.testing.assert_allclose(np.log1p(np.exp(raw)), np.full(5, 5), rtol=1e-6)
    assert adapter.count_params() == 3 * 5 + 5 + 5


def test_variance_learns_how_far_the_student_is_off():
    # Far off in one channel, and not at all in the other.
    adapter = VarianceAdapter((None, 2), (None, 2))
    student = np.zeros((2, 2), "f")
    teacher = np.array([[3, 0], [-3, 0]], "f")
    optimizer = keras.optimizers.Adam(0.5)
    for _ in range(60):
        with tf.GradientTape() as tape:
            inputs = adapter(student, teacher)
            loss = tf.reduce_mean(variational_information_loss(*inputs))
        gradients = tape.gradient(loss, adapter.trainable_variables)
        optimizer.apply(gradients, adapter.trainable_variables)
    variance = np.log1p(np.exp(adapter(student, teacher)[2]))
    # The likeliest variance is the mean square: 9, and none.
    assert variance[0] == pytest.approx(9, rel=0.02)
    assert variance[1] < 0.1


def without_drawing(adapter):
    """Its convolutions pass on what they get: what is hidden is seen."""
    for layer in adapter._draw:
        kernel = np.zeros(layer.kernel.shape)
        kernel[(1,) * (kernel.ndim - 2)] = np.eye(kernel.shape[-1])
        layer.set_weights([kernel, np.zeros(kernel.shape[-1])])
    return adapter


@pytest.mark.parametrize("grid", [(40, 50), (2000,)])
def test_half_the_positions_are_hidden_while_training(grid):
    shape = (None, *grid, 3)
    adapter = without_drawing(MaskedGenerationAdapter(shape, shape))
    x = 1 + np.abs(batch_of(shape))
    shown = np.array(adapter(x, x, training=True)[0])
    is_hidden = shown == 0
    # Of 4000 positions 2000 +- 32, four times that is allowed for.
    assert abs(is_hidden[..., 0].sum() - 2000) < 130
    for channel in (1, 2):
        np.testing.assert_array_equal(
            is_hidden[..., channel], is_hidden[..., 0]
        )
    np.testing.assert_allclose(shown[~is_hidden], x[~is_hidden], rtol=1e-6)
    again = np.array(adapter(x, x, training=True)[0])
    assert np.any((again == 0) != is_hidden)


def test_nothing_is_hidden_outside_training():
    shape = (None, 6, 6, 3)
    adapter = without_drawing(MaskedGenerationAdapter(shape, shape))
    x = 1 + np.abs(batch_of(shape))
    np.testing.assert_allclose(adapter(x, x)[0], x, rtol=1e-6)


def test_generation_outside_training_is_always_the_same():
    adapter = MaskedGenerationAdapter((None, 6, 6, 3), (None, 4, 4, 5))
    x, y = activations(2, 6, 6, 3), activations(2, 4, 4, 5)
    before = [v.numpy() for v in adapter.variables]
    np.testing.assert_array_equal(adapter(x, y)[0], adapter(x, y)[0])
    for old, new in zip(before, adapter.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_generation_has_the_parameters_of_two_convolutions():
    adapter = MaskedGenerationAdapter((None, 6, 6, 3), (None, 4, 4, 5))
    by_hand = (3 * 5 + 5) + 2 * (9 * 5 * 5 + 5)
    trained = sum(np.prod(v.shape) for v in adapter.trainable_variables)
    assert trained == by_hand


def columns(shape):
    """Activations whose value is the sum of their position and channel."""
    return np.sum(np.indices(shape), axis=0).astype("f")


def test_grids_of_three_axes_are_resized_in_each():
    student, teacher = (None, 4, 2, 6, 1), (None, 2, 4, 3, 1)
    adapter = ShapeAdapter(student, teacher)
    # Sums stay sums: axes of 4 to 2 and 6 to 3 become means of neighbours,
    # and the middle one, from 2 to 4, goes in steps of a half.
    depth = np.array([0.5, 2.5]).reshape(2, 1, 1)
    height = np.array([0, 0.25, 0.75, 1]).reshape(1, 4, 1)
    width = np.array([0.5, 2.5, 4.5]).reshape(1, 1, 3)
    x = columns(student[1:])[None]
    adapted, _ = adapter(x, np.zeros((1, *teacher[1:]), "f"))
    expected = (depth + height + width)[None, ..., None]
    np.testing.assert_allclose(adapted, expected, rtol=1e-5, atol=1e-6)


def test_grids_of_three_axes_not_known_beforehand_are_resized():
    unknown = (None, None, None, None, 2)
    adapter = ShapeAdapter(unknown, unknown)
    spec = tf.TensorSpec(unknown)
    adapted = tf.function(
        lambda x, y: adapter(x, y)[0], input_signature=[spec, spec]
    )
    x, y = np.ones((3, 2, 4, 6, 2), "f"), np.ones((3, 4, 2, 5, 2), "f")
    np.testing.assert_allclose(adapted(x, y), y, rtol=1e-6)


def test_grids_of_more_axes_are_refused_where_they_differ():
    shape, other = (None, 2, 2, 2, 2, 3), (None, 2, 2, 2, 1, 3)
    assert ShapeAdapter(shape, shape).count_params() == 0
    with pytest.raises(ValueError, match=r"more than 3 axes cannot be resized"):
        ShapeAdapter(shape, other)


@pytest.mark.parametrize("num_extra", [0, 1, 2])
def test_tokens_of_a_teacher_become_the_grid_of_its_student(num_extra):
    tokens = activations(2, num_extra + 6, 5)  # 2x3 after the extra ones
    adapter = ShapeAdapter((None, 4, 6, 3), (None, num_extra + 6, 5))
    student = activations(2, 4, 6, 3)
    adapted, teacher = adapter(student, tokens)
    np.testing.assert_array_equal(
        teacher, tokens[:, num_extra:].reshape(2, 2, 3, 5)
    )
    assert adapted.shape == (2, 2, 3, 5)
    blocks = student.reshape(2, 2, 2, 3, 2, 3).mean(axis=(2, 4))
    kernel, bias = adapter.get_weights()
    by_hand = blocks @ kernel + bias
    np.testing.assert_allclose(adapted, by_hand, rtol=1e-4, atol=1e-5)


def test_tokens_of_a_student_become_the_grid_of_its_teacher():
    tokens, teacher = activations(2, 17, 3), activations(2, 4, 4, 3)
    adapter = ShapeAdapter((None, 17, 3), (None, 4, 4, 3))
    adapted, same = adapter(tokens, teacher)
    np.testing.assert_array_equal(adapted, tokens[:, 1:].reshape(2, 4, 4, 3))
    np.testing.assert_array_equal(same, teacher)


@pytest.mark.parametrize(
    ("tokens", "grid"), [(7, (4, 4)), (None, (4, 4)), (16, (None, None))]
)
def test_tokens_that_form_no_grid_are_refused(tokens, grid):
    with pytest.raises(ValueError, match=r"form one of its proportions") as e:
        ShapeAdapter((None, *grid, 3), (None, tokens, 5))
    assert f"tokens (None, {tokens}, 5), grid (None, " in str(e.value)


@pytest.mark.parametrize("adapter", [VarianceAdapter, ProjectionWithNorm])
def test_equal_widths_are_projected_all_the_same(adapter):
    layer = adapter(GRID, GRID)
    assert any(v.shape == (3, 3) for v in layer.trainable_variables)
    assert ShapeAdapter(GRID, GRID, always_projects=True).count_params() == 12


def test_projection_is_normalized_over_the_batch():
    adapter = ProjectionWithNorm((None, 2), (None, 2), equal=("width",))
    kernel, x = np.array([[1, 1], [0, 2]], "f"), activations(50, 2)
    adapter._project.set_weights([kernel])
    adapted, _ = adapter(x, x, training=True)
    projected = x @ kernel
    by_hand = projected - projected.mean(axis=0)
    by_hand /= np.sqrt(projected.var(axis=0) + 1e-3)
    np.testing.assert_allclose(adapted, by_hand, rtol=1e-3, atol=1e-4)
    # Kernel, scale and shift are trained, means and variances are not.
    assert [tuple(v.shape) for v in adapter.trainable_variables] == [
        (2, 2),
        (2,),
        (2,),
    ]


def test_norm_outside_training_changes_nothing():
    adapter = ProjectionWithNorm(GRID, GRID)
    x = batch_of(GRID)
    before = adapter.get_weights()
    np.testing.assert_array_equal(adapter(x, x)[0], adapter(x, x)[0])
    for old, new in zip(before, adapter.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    adapter(x, x, training=True)
    assert any(
        np.any(old != new)
        for old, new in zip(before, adapter.get_weights(), strict=True)
    )


@pytest.mark.parametrize("teacher", [(None, 5), (None, 2, 2, 2, 2, 3)])
def test_masked_generation_without_a_grid_it_can_convolve_is_refused(teacher):
    with pytest.raises(ValueError, match="needs a grid of 1 to 3 axes"):
        MaskedGenerationAdapter(teacher, teacher)
