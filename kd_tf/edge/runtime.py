"""Runs `.tflite` files in the runtime that devices have.

Shapes: N examples; outputs are (N, ..., C) of C classes or values.
"""

import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter


class FileModel:
    """A `.tflite` file as a function, run one example at a time.

    Args:
        tflite_path: File made by this package: one input, one output.
    """

    def __init__(self, tflite_path: str | os.PathLike[str]) -> None:
        interpreter = Interpreter(model_path=str(tflite_path), num_threads=1)
        self._run = interpreter.get_signature_runner()
        [self._input] = self._run.get_input_details()
        [(self._output, details)] = self._run.get_output_details().items()
        self._scale, self._zero_point = details["quantization"]

    def __call__(self, examples: np.ndarray) -> np.ndarray:
        """Computes the outputs for examples of the file's own type.

        Args:
            examples: Array (N, ...), N at least 1.

        Returns:
            Float32 array (N, ..., C); integer outputs are scaled back.
        """
        outputs = np.stack(
            [
                self._run(**{self._input: x[np.newaxis]})[self._output][0]
                for x in examples
            ]
        )
        if not self._scale:  # an output in float
            return outputs
        scaled = (outputs.astype("float32") - self._zero_point) * self._scale
        return scaled.astype("float32")
