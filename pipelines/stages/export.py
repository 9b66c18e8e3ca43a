"""Converts every Keras model to a float `.tflite`, each in its own process."""

import os

from kd_tf.data.sources.source import ArraySpec
from kd_tf.export.convert import ConversionError, convert_to_tflite
from pipelines.stages import artefacts_in
from pipelines.stages.sealing import seal
from pipelines.state import ExportResult, Run


def export(run: Run, scratch: str) -> tuple[dict[str, str], ExportResult]:
    """Leaves a float file of every model that converts.

    Raises:
        ConversionError: if the model to be released does not convert.
    """
    files, not_made = [], {}
    for variant in run.models:
        name = f"{variant.name}.tflite"
        try:
            _convert(run, variant.name, os.path.join(scratch, name))
            files.append(name)
        except ConversionError as error:
            if variant.name == run.last_model:
                raise
            not_made[variant.name] = str(error)
    artefacts = artefacts_in(scratch, "tflite", files)
    if not run.config.quantize.enabled:
        float_file = os.path.join(scratch, f"{run.last_model}.tflite")
        artefacts.update(seal(run, float_file, scratch))
    return artefacts, ExportResult(not_made)


def _convert(run: Run, name: str, path: str) -> None:
    data = run.data
    convert_to_tflite(
        run.model_path(name),
        path,
        example=ArraySpec(tuple(data.example_shape), data.example_dtype),
        **run.config.data.scale(data.feature_moments),
        target_moments=data.target_moments,
        time_limit_s=run.config.export.time_limit_s,
    )
