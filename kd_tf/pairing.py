"""Which layer of a student is to learn from which layer of its teacher.

A stage is a run of layers whose outputs have one resolution; what it found
stands in its last layer. A student's stage is paired with the stage of its
teacher that is nearest in resolution, relative to the grid of the inputs, and
then in depth, relative to the number of layers.
"""

import dataclasses
import math

import keras

from kd_tf.taps import (
    all_activation_shapes,
    answering_operations,
    named_layers,
)

# Where inputs may have any size, stages are found as if they had this one.
_ASSUMED_LENGTH = 256

_NOTHING_OF_THEIR_OWN = (
    keras.layers.InputLayer,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.ZeroPadding2D,
    keras.Model,  # its layers are listed one by one
)


@dataclasses.dataclass(frozen=True)
class _Stage:
    path: str  # of its last layer
    num_axes: int
    resolution: float  # log2 of the share of the inputs' grid
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
    free, pairs = _stages(teacher), []
    # The deepest stages choose first: they matter most.
    for stage in reversed(_stages(student)):
        alike = [t for t in free if t.num_axes == stage.num_axes]
        if not alike or (with_grid and stage.num_axes < 3):
            continue
        nearest = min(
            alike,
            key=lambda t, s=stage: (
                abs(t.resolution - s.resolution),
                abs(t.depth - s.depth),
            ),
        )
        # Pairs do not cross: what comes before it is left for the rest.
        free = free[: free.index(nearest)]
        pairs.append((stage.path, nearest.path))
    if not pairs:
        raise ValueError(
            f"No layers of '{student.name}' and '{teacher.name}' pair by "
            "themselves. Allowed: name them, as [[student layer, teacher "
            "layer]]. Received: pairs='auto'"
        )
    return pairs[::-1]


def _stages(model):
    shapes = _inner_shapes(model)
    sizes = [_num_positions(shape) for shape in shapes.values()]
    largest = max(_num_positions(tensor.shape) for tensor in model.inputs)
    stages = []
    for i, (path, shape) in enumerate(shapes.items()):
        stage = _Stage(
            path,
            num_axes=len(shape),
            resolution=math.log2(sizes[i] / largest),
            depth=i / max(len(shapes) - 1, 1),
        )
        former = stages[-1] if stages else None
        if former and (former.num_axes, former.resolution) == (
            stage.num_axes,
            stage.resolution,
        ):
            stages.pop()
        stages.append(stage)
    return stages


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
