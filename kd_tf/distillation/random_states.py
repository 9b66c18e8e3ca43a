"""States of a model's random generators, which Keras does not save."""

from typing import Any

import keras


def random_states(model: keras.Model) -> dict[str, Any]:
    """{name: variable} of the generators in a model, in a fixed order.

    Without them, training resumed from a file would draw another dropout.
    """
    weights = {id(weight) for weight in model.weights}
    states = [v for v in model.variables if id(v) not in weights]
    return {f"random_state_{i}": v for i, v in enumerate(states)}
