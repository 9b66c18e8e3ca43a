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
    "accuracy": "verification",
    "add_labels": "export",
    "agreement": "verification",
    "benchmark_file": "benchmarking",
    "build_model": "models",
    "check_classifier": "teachers",
    "convert_to_tflite": "export",
    "digits_source": "data.digits",
    "file_logits": "verification",
    "load_classifier": "teachers",
    "npz_source": "data.npz",
    "quantize_tflite": "quantization.post_training",
    "read_labels": "export",
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
