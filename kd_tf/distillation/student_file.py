"""Saving a model that trains a student: the student alone is kept."""

from typing import Any, NoReturn

import keras

from kd_tf.distillation.random_states import random_states

_NO_CONFIG = (
    "A {name} trains a student; it has no config, for teachers and losses need "
    "not be serializable. Save or copy its student: {name}.save(path), "
    "{name}.export(path), keras.models.clone_model({name}.student); and make "
    "a new {name} around it. Received: {call}"
)


class SavedAsStudent(keras.Model):
    """A model around a student, whose files hold the student alone.

    Attributes:
        student: `keras.Model`; subclasses set it.
    """

    student: keras.Model

    def save(
        self, filepath: Any, overwrite: bool = True, zipped: bool | None = None
    ) -> None:
        """Saves the student alone: a plain Keras model, no teacher inside."""
        self.student.save(filepath, overwrite=overwrite, zipped=zipped)

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports the student alone; arguments are those of Keras."""
        self.student.export(
            filepath,
            format=format,
            verbose=verbose,
            input_signature=input_signature,
            **kwargs,
        )

    def get_config(self) -> NoReturn:
        """Raises: only the student can be written down and made again.

        Raises:
            NotImplementedError: always.
        """
        name = type(self).__name__
        raise NotImplementedError(
            _NO_CONFIG.format(name=name, call=f"{name}.get_config()")
        )

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None) -> NoReturn:
        """Raises: only the student can be written down and made again.

        Raises:
            NotImplementedError: always.
        """
        name = cls.__name__
        raise NotImplementedError(
            _NO_CONFIG.format(name=name, call=f"{name}.from_config()")
        )

    def save_own_variables(self, store: Any) -> None:
        """Adds the states of random generators to what Keras saves."""
        super().save_own_variables(store)
        for name, state in random_states(self).items():
            store[name] = state.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Reads what `save_own_variables` stored."""
        names = store.keys()
        stored = {name: store[name] for name in names}
        for name, state in random_states(self).items():
            if name in stored:
                state.assign(stored.pop(name))
        super().load_own_variables(stored)

    def __dir__(self) -> list[str]:
        # Keras saves the weights of every model it finds here.
        return [name for name in super().__dir__() if name != "teacher"]
