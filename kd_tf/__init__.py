"""Distils, prunes and quantizes Keras 3 models into verified `.tflite` files.

Names are imported on first use: `import kd_tf` alone does not start
TensorFlow, so that a command line answers at once and an edge device can
verify and time a file with nothing but the runtime installed.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "ConversionError": "export",
    "Distiller": "distiller",
    "EpochCheckpoint": "checkpointing",
    "Limit": "verification",
    "LossTerm": "losses.terms",
    "MagnitudePruning": "pruning.magnitude",
    "QuantizationError": "quantization.post_training",
    "Augmentation": "data.augmentation",
    "Cut": "data.assignment",
    "FileModel": "verification",
    "add_labels": "export",
    "audio_folder_source": "data.audio_folder",
    "benchmark_file": "benchmarking",
    "build_model": "models",
    "check_model": "teachers",
    "convert_to_tflite": "export",
    "csv_source": "data.csv",
    "custom_source": "data.custom",
    "diabetes_source": "data.diabetes",
    "digits_source": "data.digits",
    "image_folder_source": "data.image_folder",
    "judge": "verification",
    "label_loss": "objectives",
    "load_model": "teachers",
    "npz_source": "data.npz",
    "quantize_tflite": "quantization.post_training",
    "read_labels": "export",
    "score_metrics": "objectives",
    "segmentation_folder_source": "data.segmentation_folder",
    "soft_target_loss": "losses.response",
    "tfds_source": "data.tfds",
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
