import numpy as np
import pytest

from kd_tf.reporting.examples import example_pictures
from kd_tf.reporting.shown import Shown
from kd_tf.tasks import IGNORED, get_task


def shown(x, targets, outputs):
    numbers = np.arange(len(x)) + 7
    return Shown(x, targets, numbers, {"a file": outputs})


LOGITS = np.array([[5.0, 0.0], [0.0, 5.0]], "float32")


def test_image_has_its_truth_and_what_is_predicted():
    images = np.zeros((2, 6, 8, 3), "uint8")
    first, second = example_pictures(
        shown(images, np.array([0, 0]), LOGITS),
        get_task("classification"),
        class_names=["cat", "dog"],
    )
    assert first.alt == "Test image, number 7: truth: cat; a file: cat 0.99."
    assert second.alt == "Test image, number 8: truth: cat; a file: dog 0.99."
    assert [first.name, second.name] == ["example_01", "example_02"]


def test_long_names_are_cut_short():
    images = np.zeros((2, 6, 8, 1), "float32")
    first, _ = example_pictures(
        shown(images, np.array([0, 0]), LOGITS),
        get_task("classification"),
        class_names=["c" * 80, "dog"],
    )
    assert f"truth: {'c' * 26}…;" in first.alt


def test_silent_recording_is_drawn():
    first, *_ = example_pictures(
        shown(np.zeros((2, 400), "int16"), np.array([0, 1]), LOGITS),
        get_task("classification"),
        class_names=["yes", "no"],
        sample_rate=8000,
    )
    assert first.alt.startswith("Test recording, its spectrogram, number 7")


def test_rows_of_a_table_are_not_drawn():
    table = shown(np.zeros((2, 5), "float32"), np.array([0, 1]), LOGITS)
    task = get_task("classification")
    assert example_pictures(table, task, class_names=["a", "b"]) == []


@pytest.mark.parametrize("palette", [None, [(0, 0, 0), (255, 0, 0)]])
def test_mask_has_scores_of_the_pixels_that_count(palette):
    target = np.zeros((1, 4, 4), "uint8")
    target[0, :2] = IGNORED
    predicted = np.zeros((1, 4, 4), "uint8")
    predicted[0, 3, :2] = 1
    [one] = example_pictures(
        shown(np.zeros((1, 4, 4, 3), "uint8"), target, predicted),
        get_task("segmentation"),
        class_names=["road", "tree"],
        palette=palette,
    )
    # 6 of 8 pixels are right; IoU is 6/8 of road and 0 of tree.
    assert one.alt == (
        "Test image 7, its truth, a file IoU 0.38, 75 % of pixels, and where "
        "the file is wrong."
    )


def test_mask_without_any_label_has_no_scores():
    target = np.full((1, 4, 4), IGNORED, "uint8")
    [one] = example_pictures(
        shown(np.zeros((1, 4, 4, 3), "uint8"), target, np.zeros_like(target)),
        get_task("segmentation"),
        class_names=["road", "tree"],
    )
    assert one.alt.startswith("Test image 7, its truth, a file, and where")
