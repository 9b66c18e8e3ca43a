import kd_tf


def test_public_names_are_the_written_list():
    assert kd_tf.__all__ == [
        "Augmentation",
        "ConversionError",
        "Cut",
        "Distiller",
        "EpochCheckpoint",
        "FileModel",
        "Limit",
        "LossTerm",
        "MagnitudePruning",
        "QuantizationError",
        "add_labels",
        "audio_folder_source",
        "benchmark_file",
        "build_model",
        "check_model",
        "convert_to_tflite",
        "csv_source",
        "custom_source",
        "diabetes_source",
        "digits_source",
        "image_folder_source",
        "judge",
        "label_loss",
        "load_model",
        "npz_source",
        "quantize_tflite",
        "read_labels",
        "score_metrics",
        "segmentation_folder_source",
        "soft_target_loss",
        "tfds_source",
        "write_report",
    ]
    assert all(callable(getattr(kd_tf, name)) for name in kd_tf.__all__)
