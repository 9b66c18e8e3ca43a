import keras

from kd_tf.distillation.random_states import random_states


def test_states_are_those_of_the_generators_in_order():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dropout(0.5, seed=1, name="first"),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=2, name="second"),
        ]
    )
    states = random_states(model)
    assert list(states) == ["random_state_0", "random_state_1"]
    seeds = [int(state.numpy()[0]) for state in states.values()]
    assert seeds == [1, 2]
    assert random_states(keras.Sequential([layers.Dense(2)])) == {}
