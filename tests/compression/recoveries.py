"""A `Recovery` for tests: plain `fit` on labels, with a list of its calls."""

import keras


class Fit:
    def __init__(self, x, y, *, epochs, batch_size):
        self.epochs = epochs
        self.steps_per_epoch = -(-len(x) // batch_size)
        self.calls = []
        self._x, self._y, self._batch_size = x, y, batch_size

    def __call__(self, model, callbacks=(), **options):
        self.calls.append(options)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(), loss)
        model.fit(
            self._x,
            self._y,
            batch_size=self._batch_size,
            epochs=self.epochs,
            callbacks=list(callbacks),
            shuffle=False,
            verbose=0,
        )
