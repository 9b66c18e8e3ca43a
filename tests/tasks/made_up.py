"""A task of somebody else's: directions in the plane."""

import numpy as np

from kd_tf.ranges import Positive
from kd_tf.results import ScoreRecord
from kd_tf.tasks.task import Task


def cosine(outputs, targets):
    lengths = np.linalg.norm(outputs, axis=-1)
    return (outputs * targets).sum(axis=-1) / lengths


class Direction(Task):
    """Targets are vectors (n, 2) of length 1; outputs are vectors (n, 2)."""

    score = "cosine"
    title = "mean cosine"
    default_loss = "value_matching"
    default_temperature = 1.0
    output_name = "values"
    unit = "value"
    counted = None

    def target_shape(self, example_shape, num_outputs):
        return (num_outputs,)

    def count(self, targets, num_outputs):
        return np.full(num_outputs, len(targets))

    def decide(self, outputs):
        return outputs / np.linalg.norm(outputs, axis=-1, keepdims=True)

    def label_loss(self, *, delta: Positive = 1.0, mixed: bool = False):
        """Makes a Huber loss.

        Args:
            delta: Where it becomes linear.
            mixed: Without effect.
        """
        import keras

        return keras.losses.Huber(delta)

    def metrics(self, num_outputs):
        import keras

        return [keras.metrics.CosineSimilarity(name=self.score)]

    def new_score(self, num_outputs):
        return CosineScore()

    def new_agreement(self):
        return CosineAgreement()

    def describe_target(self, target, class_names):
        return f"{np.degrees(np.arctan2(target[1], target[0])):.0f} degrees"

    def describe_output(self, output, class_names):
        return self.describe_target(output, class_names)


class CosineScore:
    def __init__(self):
        self._cosines = []

    def update(self, outputs, targets):
        self._cosines.append(cosine(outputs, targets))
        return 1 - self._cosines[-1]

    def result(self):
        mean = float(np.concatenate(self._cosines).mean())
        return ScoreRecord({"cosine": mean})

    def arrays(self):
        return {}


class CosineAgreement(CosineScore):
    def result(self):
        return super().result().scores["cosine"]
