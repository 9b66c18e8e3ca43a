import kd_tf


def test_public_names_are_the_written_list():
    assert kd_tf.__all__ == [
        "ConversionError",
        "Distiller",
        "EpochCheckpoint",
        "Limit",
        "LossTerm",
        "MagnitudePruning",
        "QuantizationError",
        "accuracy",
        "add_labels",
        "agreement",
        "benchmark_file",
        "build_model",
        "check_classifier",
        "convert_to_tflite",
        "digits_source",
        "file_logits",
        "load_classifier",
        "npz_source",
        "quantize_tflite",
        "read_labels",
        "soft_target_loss",
        "tfds_source",
        "write_report",
    ]
    assert all(callable(getattr(kd_tf, name)) for name in kd_tf.__all__)
