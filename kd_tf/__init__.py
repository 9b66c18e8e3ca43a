"""Distils, prunes and quantizes Keras 3 models into verified `.tflite` files.

Names are imported on first use: `import kd_tf` alone does not start
TensorFlow, so that a command line answers at once and an edge device can
verify and time a file with nothing but the runtime installed.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "ConversionError": "export.convert",
    "Distiller": "distillation.distiller",
    "EpochCheckpoint": "training.checkpoints",
    "Limit": "edge.verification",
    "LossTerm": "distillation.loss_term",
    "MagnitudePruning": "compression.magnitude",
    "QuantizationError": "export.post_training",
    "Augmentation": "data.augmentation",
    "SplitSettings": "data.splitting.assignment",
    "FileModel": "edge.runtime",
    "add_labels": "export.metadata",
    "audio_folder_source": "data.sources.audio_folder",
    "benchmark_file": "edge.benchmarking",
    "build_model": "models",
    "check_model": "models.loading",
    "convert_to_tflite": "export.convert",
    "csv_source": "data.sources.csv",
    "custom_source": "data.sources.custom",
    "diabetes_source": "data.sources.diabetes",
    "digits_source": "data.sources.digits",
    "image_folder_source": "data.sources.image_folder",
    "evaluate_models": "edge.verification",
    "label_loss": "tasks.objectives",
    "load_model": "models.loading",
    "npz_source": "data.sources.npz",
    "quantize_tflite": "export.post_training",
    "read_labels": "export.metadata",
    "score_metrics": "tasks.objectives",
    "segmentation_folder_source": "data.sources.segmentation_folder",
    "soft_target_loss": "losses.response",
    "tfds_source": "data.sources.tfds",
    "write_report": "reporting.page",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'kd_tf' has no attribute '{name}'")
    module = importlib.import_module(f"kd_tf.{_HOME[name]}")
    return getattr(module, name)


def __dir__():
    return __all__
