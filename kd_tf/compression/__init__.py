"""Compression passes: they make a trained model smaller.

A pass is a function `(model, recover, *, arguments...)` that returns the
model and a `kd_tf.results.CompressionRecord`; `recover` is a
`kd_tf.compression.recovery.Recovery`, which trains the model again. To add
one: write the function, and add its row to `PASSES`.
"""

import dataclasses

from kd_tf.specs import Argument, Spec, Table


@dataclasses.dataclass(frozen=True)
class PassSpec(Spec):
    """One compression pass.

    Attributes:
        function: The pass.
        title: What tables call a model after it.
    """

    title: str

    @property
    def arguments(self) -> dict[str, Argument]:
        """{name: argument} of all that a user may set, in order."""
        # The first two are model and recovery, whatever their names.
        return dict(list(super().arguments.items())[2:])


def _own_pass(function: str) -> PassSpec:
    return PassSpec(function, title=function.partition(":")[2])


PASSES: Table[PassSpec] = Table(
    "compression pass",
    {
        "magnitude": PassSpec(
            "kd_tf.compression.magnitude:prune_by_magnitude", title="pruned"
        ),
    },
    own=_own_pass,
)
