"""Pairs layers of a student with layers of its teacher, automatically.

A stage is a run of layers whose outputs have one resolution; its last layer
stands for it. Stages are aligned in order, so that pairs do not cross, at the
least cost: octaves of resolution (relative to the grid of the inputs) between
the two of a pair, a little for their distance in depth (relative to the number
of layers), and a fixed cost for a stage of the student that stays alone.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import keras

from kd_tf.distillation.channel_axes import check_channels_last
from kd_tf.distillation.layer_paths import layer_paths
from kd_tf.distillation.taps import Shape, all_activation_shapes
from kd_tf.models.graph import is_symbolic, named_layers, output_operations

Pair = tuple[str, str]

# To stay alone costs less than a pair whose layers are further apart.
_COST_ALONE = 1.5
_COST_OF_DEPTH = 0.25  # of the whole depth; decides where octaves are equal

# Where inputs may have any size, stages are found as if they had this one.
_ASSUMED_LENGTH = 256
_MOST_SHOWN = 6  # paths in a message

_WITHOUT_FEATURES = (
    keras.layers.InputLayer,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.ZeroPadding2D,
    keras.Model,  # its layers are listed one by one
)


@dataclasses.dataclass(frozen=True)
class _Stage:
    path: str  # of its last layer
    num_axes: int
    octaves: float  # below the inputs, in length of the grid
    depth: float  # 0 at the first layer, 1 at the last


def propose_pairs(
    student: keras.Model, teacher: keras.Model, *, with_grid: bool = False
) -> list[Pair]:
    """Pairs the stages of two models by resolution and depth.

    Args:
        student: Functional or sequential `keras.Model`.
        teacher: Functional or sequential `keras.Model`.
        with_grid: Whether layers whose outputs are vectors are left out.

    Returns:
        [(student path, teacher path)], from shallow to deep.

    Raises:
        ValueError: if a model cannot be read, or nothing pairs.
    """
    for model in (student, teacher):
        _check_readable(model)
    stages = [
        [s for s in _stages(model) if s.num_axes > 2 or not with_grid]
        for model in (student, teacher)
    ]
    pairs = _align(*stages)
    if not pairs:
        raise ValueError(
            f"No layers of '{student.name}' and '{teacher.name}' can be "
            "paired automatically. Name them: [(student layer, teacher "
            "layer)]. Received: pairs='auto'"
        )
    return pairs


def _check_readable(model: keras.Model) -> None:
    if not is_symbolic(model):
        known = list(layer_paths(model))
        raise ValueError(
            f"The layers of model '{model.name}' cannot be paired "
            "automatically: only functional and sequential models, built on "
            "their inputs, have a graph to read. Name the pairs: [(student "
            "layer, teacher layer)], with layers inside a subclassed model by "
            f"their attributes, such as {', '.join(known[:_MOST_SHOWN])}. "
            f"Received: pairs='auto', {type(model).__name__}"
        )


def _align(student: Sequence[_Stage], teacher: Sequence[_Stage]) -> list[Pair]:
    """The pairs of paths that cost least."""

    @functools.cache
    def from_stage(i: int, j: int) -> tuple[float, tuple[Pair, ...]]:
        """Least cost from these stages on, and its pairs."""
        if i == len(student) or j == len(teacher):
            return _COST_ALONE * (len(student) - i), ()
        learner, guide = student[i], teacher[j]
        alone, pairs = from_stage(i + 1, j)
        options = [from_stage(i, j + 1), (alone + _COST_ALONE, pairs)]
        if learner.num_axes == guide.num_axes:
            cost, pairs = from_stage(i + 1, j + 1)
            cost += abs(learner.octaves - guide.octaves)
            cost += _COST_OF_DEPTH * abs(learner.depth - guide.depth)
            options.append((cost, ((learner.path, guide.path), *pairs)))
        return min(options, key=lambda option: option[0])

    return list(from_stage(0, 0)[1])


def _stages(model: keras.Model) -> list[_Stage]:
    shapes = _on_the_main_path(_inner_shapes(model))
    largest = max(_num_positions(tensor.shape) for tensor in model.inputs)
    stages: list[_Stage] = []
    for i, (path, shape) in enumerate(shapes.items()):
        stage = _Stage(
            path,
            num_axes=len(shape),
            octaves=_octaves(shape, largest),
            depth=i / max(len(shapes) - 1, 1),
        )
        previous = stages[-1] if stages else None
        if previous and (previous.num_axes, previous.octaves) == (
            stage.num_axes,
            stage.octaves,
        ):
            stages.pop()
        stages.append(stage)
    return stages


def _on_the_main_path(shapes: dict[str, Shape]) -> dict[str, Shape]:
    """Without gates: side branches that reduce a grid to a point."""
    wide = [i for i, s in enumerate(shapes.values()) if _num_positions(s) > 1]
    last_wide = wide[-1] if wide else -1
    return {
        path: shape
        for i, (path, shape) in enumerate(shapes.items())
        if i > last_wide or _num_positions(shape) > 1
    }


def _octaves(shape: Shape, largest: int) -> float:
    num_axes = len(shape) - 2
    if num_axes < 1:
        return 0.0  # a vector has no grid, whatever the inputs
    return math.log2(largest / _num_positions(shape)) / num_axes


def _num_positions(shape: Shape) -> int:
    return math.prod(n or _ASSUMED_LENGTH for n in shape[1:-1])


def _inner_shapes(model: keras.Model) -> dict[str, Shape]:
    """{path: shape} of the layers that can teach or learn, in order."""
    # The layers that compute the outputs have losses of their own.
    of_outputs = {
        id(operation)
        for operations in output_operations(model).values()
        for operation in operations
    }
    layers = named_layers(model)
    shapes = all_activation_shapes(model, _ASSUMED_LENGTH)
    for path, shape in shapes.items():
        check_channels_last(layers[path], path, shape)
    return {
        path: shape
        for path, shape in shapes.items()
        if id(layers[path]) not in of_outputs
        and not isinstance(layers[path], _WITHOUT_FEATURES)
        and len(shape) > 1
    }
