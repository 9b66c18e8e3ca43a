"""Which layer of a student is to learn from which layer of its teacher.

A stage is a run of layers whose outputs have one resolution; what it found
stands in its last layer. Stages are aligned in order, so that pairs do not
cross, at the least cost: octaves of resolution (relative to the grid of the
inputs) between the two of a pair, a little for their distance in depth
(relative to the number of layers), and a fixed cost for a stage of the student
that stays alone.
"""

import dataclasses
import functools
import math

import keras

from kd_tf.distillation.taps import all_activation_shapes
from kd_tf.models.graph import answering_operations, named_layers

# To stay alone is better than to be paired further off than this.
_COST_ALONE = 1.5
_COST_OF_DEPTH = 0.25  # of all of it; enough to decide between equals

# Where inputs may have any size, stages are found as if they had this one.
_ASSUMED_LENGTH = 256

_NOTHING_OF_THEIR_OWN = (
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


def propose_pairs(student, teacher, *, with_grid=False):
    """Layer pairs, from shallow to deep: [(student path, teacher path)].

    Args:
        student: Functional or sequential `keras.Model`.
        teacher: Functional or sequential `keras.Model`.
        with_grid: Whether layers that answer vectors are left out.

    Raises:
        ValueError: if a model has no symbolic graph, or nothing pairs.
    """
    stages = [
        [s for s in _stages(model) if s.num_axes > 2 or not with_grid]
        for model in (student, teacher)
    ]
    pairs = _align(*stages)
    if not pairs:
        raise ValueError(
            f"No layers of '{student.name}' and '{teacher.name}' pair by "
            "themselves. Allowed: name them, as [[student layer, teacher "
            "layer]]. Received: pairs='auto'"
        )
    return pairs


def _align(student, teacher):
    """The pairs of paths that cost least."""

    @functools.cache
    def from_stage(i, j):
        """Least cost of what begins at these stages, and its pairs."""
        if i == len(student) or j == len(teacher):
            return _COST_ALONE * (len(student) - i), ()
        first, other = student[i], teacher[j]
        alone, pairs = from_stage(i + 1, j)
        ways = [from_stage(i, j + 1), (alone + _COST_ALONE, pairs)]
        if first.num_axes == other.num_axes:
            cost, pairs = from_stage(i + 1, j + 1)
            cost += abs(first.octaves - other.octaves)
            cost += _COST_OF_DEPTH * abs(first.depth - other.depth)
            ways.append((cost, ((first.path, other.path), *pairs)))
        return min(ways, key=lambda way: way[0])

    return list(from_stage(0, 0)[1])


def _stages(model):
    shapes = _on_the_main_path(_inner_shapes(model))
    largest = max(_num_positions(tensor.shape) for tensor in model.inputs)
    stages = []
    for i, (path, shape) in enumerate(shapes.items()):
        stage = _Stage(
            path,
            num_axes=len(shape),
            octaves=_octaves(shape, largest),
            depth=i / max(len(shapes) - 1, 1),
        )
        former = stages[-1] if stages else None
        if former and (former.num_axes, former.octaves) == (
            stage.num_axes,
            stage.octaves,
        ):
            stages.pop()
        stages.append(stage)
    return stages


def _on_the_main_path(shapes):
    """Without gates: what squeezes a grid to a point that others then use."""
    wide = [i for i, s in enumerate(shapes.values()) if _num_positions(s) > 1]
    last_wide = wide[-1] if wide else -1
    return {
        path: shape
        for i, (path, shape) in enumerate(shapes.items())
        if i > last_wide or _num_positions(shape) > 1
    }


def _octaves(shape, largest):
    num_axes = len(shape) - 2
    if num_axes < 1:
        return 0.0  # a vector has no grid, whatever the inputs
    return math.log2(largest / _num_positions(shape)) / num_axes


def _num_positions(shape):
    return math.prod(n or _ASSUMED_LENGTH for n in shape[1:-1])


def _inner_shapes(model):
    """{path: shape} of the layers that can teach or learn, in order."""
    left_out = {
        id(operation)
        for operations in answering_operations(model).values()
        for operation in operations
    }
    layers = named_layers(model)
    return {
        path: shape
        for path, shape in all_activation_shapes(model, _ASSUMED_LENGTH).items()
        if id(layers[path]) not in left_out
        and not isinstance(layers[path], _NOTHING_OF_THEIR_OWN)
        and len(shape) > 1
    }
