"""Do two models answer alike? Does a file keep what was promised of it?

Runs in the edge runtime itself, without TensorFlow. N examples, C classes.
"""

import dataclasses

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from kd_tf.export import INPUT_NAME, OUTPUT_NAME


def file_logits(tflite_path, images):
    """What a `.tflite` answers, one image at a time, as on a device.

    Args:
        tflite_path: File made by this package.
        images: uint8 array (N, ...).

    Returns:
        Float32 array (N, C); integer answers are scaled back.
    """
    interpreter = Interpreter(model_path=str(tflite_path), num_threads=1)
    run = interpreter.get_signature_runner()
    output = run.get_output_details()[OUTPUT_NAME]
    scale, zero_point = output["quantization"]
    answers = np.stack(
        [
            run(**{INPUT_NAME: image[np.newaxis]})[OUTPUT_NAME][0]
            for image in images
        ]
    )
    if not scale:
        return answers
    return ((answers.astype("float32") - zero_point) * scale).astype("float32")


def accuracy(logits, labels):
    """Share of examples whose greatest logit is their label's."""
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


def agreement(logits, other_logits):
    """Share of examples on which two models name the same class."""
    same = np.argmax(logits, axis=-1) == np.argmax(other_logits, axis=-1)
    return float(np.mean(same))


@dataclasses.dataclass(frozen=True)
class Limit:
    """One thing promised of a file, and what was measured.

    Attributes:
        name: The limit's name in the budget.
        allowed: The greatest value allowed.
        measured: What the file has.
    """

    name: str
    allowed: float
    measured: float

    @property
    def kept(self):
        # Written so that a measurement of NaN breaks the limit.
        return self.measured <= self.allowed

    def __str__(self):
        if self.kept:
            return f"{self.name}: {self.measured:.6g} of {self.allowed:.6g}"
        over = self.measured - self.allowed
        return (
            f"{self.name} missed: allowed {self.allowed:.6g}, measured "
            f"{self.measured:.6g}, {over:.6g} too much"
        )
