"""Records the outputs of a model's layers while the model runs."""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import keras

_lock = threading.Lock()
_hooked: dict[int, list[Any]] = {}  # {id of a layer: [watchers, its own call]}
_recorded = threading.local()


@contextlib.contextmanager
def watch_calls(
    layers: Iterable[keras.layers.Layer],
) -> Iterator[dict[int, list[Any]]]:
    """Records what layers return in this thread, and leaves them as they were.

    Threads may share a layer, as replicas of a distribution strategy and
    distillers with one teacher do: each sees its own calls.

    Args:
        layers: Layers of a model that is run inside the context.

    Yields:
        {id of a layer: outputs of its calls}, filled as the model runs.
    """
    watched = {id(layer): layer for layer in layers}
    outputs: dict[int, list[Any]] = {key: [] for key in watched}
    with _lock:
        for layer in watched.values():
            _hook(layer)
    outer = getattr(_recorded, "by_watcher", ())
    _recorded.by_watcher = (*outer, outputs)
    try:
        yield outputs
    finally:
        _recorded.by_watcher = outer
        with _lock:
            for layer in watched.values():
                _unhook(layer)


def _hook(layer: keras.layers.Layer) -> None:
    # The first watcher hooks a layer, the last one unhooks it.
    attributes = vars(layer)
    hooked = _hooked.setdefault(id(layer), [0, attributes.get("call")])
    hooked[0] += 1
    if hooked[0] > 1:
        return
    call = layer.call

    def recorded_call(*args: Any, **kwargs: Any) -> Any:
        output = call(*args, **kwargs)
        for outputs in getattr(_recorded, "by_watcher", ()):
            if id(layer) in outputs:
                outputs[id(layer)].append(output)
        return output

    # Set past Keras's own bookkeeping of attributes, which must not see it.
    attributes["call"] = recorded_call


def _unhook(layer: keras.layers.Layer) -> None:
    hooked = _hooked[id(layer)]
    hooked[0] -= 1
    if hooked[0] > 0:
        return
    _, own_call = _hooked.pop(id(layer))
    if own_call is None:
        del vars(layer)["call"]
    else:
        vars(layer)["call"] = own_call
