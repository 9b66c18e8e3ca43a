"""The operators that stay in float, because 8 bits do not hold their range.

These are a log-mel spectrogram and the scaling of a table's columns, with all
that they are computed from; and the scaling of several quantities, with all
that is computed from it. Operators are recognized by the names of their
tensors, which the converter makes from the names of layers and scopes.
"""

import collections
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from litert_quantizer import qtyping, recipe_manager

from kd_tf.export.flatbuffer import Graph, Operator, unpack_model

# The layer `LogMel`, which Keras may number: log_mel/, log_mel_1/; and the
# scopes `scale_columns` and `scale_values` of `kd_tf.export.convert`.
_AT_THE_INPUT = re.compile(r"(?:^|/)(?:log_mel(?:_\d+)?|scale_columns)/")
_AT_THE_OUTPUT = re.compile(r"(?:^|/)scale_values/")


def float_recipe(flatbuffer: bytes) -> list[dict[str, Any]]:
    """Makes the part of a recipe that leaves operators in float.

    A power spectrum spans far more than 8 bits; its logarithm does not. Of
    the constants the mel bands alone become int8: they are the largest, and
    their zeros stay zeros.

    Args:
        flatbuffer: Content of a float `.tflite` file.

    Returns:
        Entries to add to a recipe of LiteRT Quantizer; none if the file has
        no such operator.
    """
    graph = unpack_model(flatbuffer).subgraphs[0]
    at_input = _upstream(graph, _AT_THE_INPUT)
    at_output = _downstream(graph, _AT_THE_OUTPUT)
    manager = recipe_manager.RecipeManager()
    for scope in sorted(at_input | at_output):
        _leave_in_float(manager, f"^{re.escape(scope)}$", "ALL_SUPPORTED")
    if at_input:
        _leave_in_float(manager, ".*", "INPUT")
    if at_output:
        _leave_in_float(manager, ".*", "OUTPUT")
    if at_input:
        manager.add_weight_only_config(
            _AT_THE_INPUT.pattern + "bands/",
            qtyping.TFLOperationName.FULLY_CONNECTED,
            num_bits=8,
        )
    return manager.get_quantization_recipe()


def _leave_in_float(
    manager: recipe_manager.RecipeManager, pattern: str, operation: str
) -> None:
    manager.add_quantization_config(
        pattern,
        qtyping.TFLOperationName[operation],
        algorithm_key=recipe_manager.AlgorithmName.NO_QUANTIZE,
    )


def _upstream(graph: Graph, pattern: re.Pattern[str]) -> set[str]:
    """Scopes of operators that fit a pattern, and of all they come from."""
    makers = {i: [op] for op in graph.operators for i in op.outputs}
    return _reachable(graph, pattern, lambda op: op.inputs, makers)


def _downstream(graph: Graph, pattern: re.Pattern[str]) -> set[str]:
    """Scopes of operators that fit a pattern, and of all they lead to."""
    readers = collections.defaultdict(list)
    for op in graph.operators:
        for i in op.inputs:
            readers[i].append(op)
    return _reachable(graph, pattern, lambda op: op.outputs, readers)


def _reachable(
    graph: Graph,
    pattern: re.Pattern[str],
    tensors_of: Callable[[Operator], Iterable[int]],
    neighbours: Mapping[int, list[Operator]],
) -> set[str]:
    scopes: dict[int, str] = {}  # by identity: operators cannot be hashed
    waiting = [
        op for op in graph.operators if pattern.search(_scope(graph, op))
    ]
    while waiting:
        op = waiting.pop()
        if id(op) not in scopes:
            scopes[id(op)] = _scope(graph, op)
            for i in tensors_of(op):
                waiting += neighbours.get(i, ())
    return set(scopes.values())


def _scope(graph: Graph, operator: Operator) -> str:
    """The quantizer's name of an operator: those of its outputs."""
    return "".join(
        f"{graph.tensors[i].name.decode()};" for i in operator.outputs
    )
