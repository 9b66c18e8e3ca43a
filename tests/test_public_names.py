"""The public names, and that editors see what programs get."""

import kd_tf


def test_public_names_are_the_written_list():
    assert kd_tf.__all__ == [
        "Augmentation",
        "ConversionError",
        "Distiller",
        "EpochCheckpoint",
        "FileModel",
        "FrozenTeacher",
        "KeepZeros",
        "Limit",
        "LossTerm",
        "MagnitudePruning",
        "QuantizationError",
        "Results",
        "SplitSettings",
        "add_labels",
        "audio_folder_source",
        "benchmark_file",
        "build_model",
        "check_model",
        "convert_to_tflite",
        "csv_source",
        "diabetes_source",
        "digits_source",
        "evaluate_models",
        "image_folder_source",
        "label_loss",
        "load_model",
        "npz_source",
        "open_source",
        "quantize_tflite",
        "read_labels",
        "results",
        "schedules",
        "score_metrics",
        "segmentation_folder_source",
        "soft_target_loss",
        "tfds_source",
        "write_report",
    ]
    assert dir(kd_tf) == kd_tf.__all__


def test_every_public_name_can_be_had():
    modules = {"results", "schedules"}
    for name in kd_tf.__all__:
        value = getattr(kd_tf, name)
        assert callable(value) == (name not in modules), name
