import numpy as np

from kd_tf import FileModel, add_labels, read_labels
from tests.export.conftest import IMAGES


def test_class_names_travel_and_do_not_change_the_outputs(exported, tmp_path):
    _, file = exported
    labelled = tmp_path / "labelled.tflite"
    labelled.write_bytes(file.read_bytes())
    names = ["cat", "dog", "Käse"]
    add_labels(labelled, names)
    assert read_labels(labelled) == names
    np.testing.assert_array_equal(
        FileModel(labelled)(IMAGES), FileModel(file)(IMAGES)
    )


def test_same_names_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"network")
        add_labels(tmp_path / name, ["cat", "dog"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes().startswith(b"network")
