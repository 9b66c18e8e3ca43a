"""Quantizes the last float file by every recipe."""

import os

from kd_tf.export.post_training import QuantizationError, quantize_tflite
from kd_tf.export.recipes import RECIPES
from pipelines.stages import artefacts_in
from pipelines.stages.sealing import seal
from pipelines.state import QuantizeResult, Run


def quantize(run: Run, scratch: str) -> tuple[dict[str, str], QuantizeResult]:
    """Leaves a file for each recipe, with ranges of training examples.

    Raises:
        QuantizationError: if the recipe to be released cannot be applied.
    """
    settings = run.config.quantize
    float_file = run.file_path(run.last_model)
    examples = run.split("train").examples()[: settings.calibration_examples]
    quantizations, not_made = {}, {}
    for recipe in RECIPES:
        path = os.path.join(scratch, f"{recipe}.tflite")
        try:
            quantizations[recipe] = quantize_tflite(
                float_file, path, recipe=recipe, examples=examples
            )
        except QuantizationError as error:
            if recipe == settings.release:
                raise
            not_made[recipe] = str(error)
    files = [f"{recipe}.tflite" for recipe in quantizations]
    released = os.path.join(scratch, f"{settings.release}.tflite")
    artefacts = {
        **artefacts_in(scratch, "tflite", files),
        **seal(run, released, scratch),
    }
    return artefacts, QuantizeResult(quantizations, not_made, len(examples))
