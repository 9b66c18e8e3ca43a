"""Distils, prunes and quantizes Keras 3 models into verified `.tflite` files.

Names are imported on first use: `import kd_tf` alone does not start
TensorFlow, so that a command line answers at once and an edge device can
verify and time a file with nothing but the runtime installed.
"""

import ast
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kd_tf import results, schedules
    from kd_tf.compression.magnitude import MagnitudePruning
    from kd_tf.compression.masking import KeepZeros
    from kd_tf.data.augmentation import Augmentation
    from kd_tf.data.sources import open_source
    from kd_tf.data.sources.audio_folder import audio_folder_source
    from kd_tf.data.sources.csv import csv_source
    from kd_tf.data.sources.image_folder import image_folder_source
    from kd_tf.data.sources.npz import npz_source
    from kd_tf.data.sources.scikit_learn import diabetes_source, digits_source
    from kd_tf.data.sources.segmentation_folder import (
        segmentation_folder_source,
    )
    from kd_tf.data.sources.tfds import tfds_source
    from kd_tf.data.splitting.assignment import SplitSettings
    from kd_tf.distillation.distiller import Distiller
    from kd_tf.distillation.loss_term import LossTerm
    from kd_tf.distillation.teachers.frozen import FrozenTeacher
    from kd_tf.edge.benchmarking import benchmark_file
    from kd_tf.edge.runtime import FileModel
    from kd_tf.edge.verification import evaluate_models
    from kd_tf.export.convert import ConversionError, convert_to_tflite
    from kd_tf.export.metadata import add_labels, read_labels
    from kd_tf.export.post_training import QuantizationError, quantize_tflite
    from kd_tf.losses.response import soft_target_loss
    from kd_tf.models import build_model
    from kd_tf.models.loading import check_model, load_model
    from kd_tf.reporting.report import write_report
    from kd_tf.results import Limit, Results
    from kd_tf.tasks import label_loss, score_metrics
    from kd_tf.training.checkpoints import EpochCheckpoint

__version__ = "0.1.0"


def _read_public_names() -> dict[str, str]:
    """{name: module it is imported from}, as the lines above have it."""
    with open(__file__, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


_MODULES = _read_public_names()

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'kd_tf' has no attribute '{name}'")
    if _MODULES[name] == __name__:
        return importlib.import_module(f"kd_tf.{name}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
