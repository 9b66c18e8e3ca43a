"""What is saved, copied and exported is the student alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kd_tf import Distiller
from tests.distillation.distiller_cases import data, distil, fitted, mlp


def test_export_writes_the_student_alone(tmp_path):
    distiller, (x, _) = distil(), data()
    fitted(distiller, epochs=1)
    distiller.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(
        exported.serve(x), distiller.student(x), rtol=1e-5
    )
    assert len(exported.variables) == len(distiller.student.variables)


@pytest.mark.parametrize(
    "copy",
    [
        lambda distiller: distiller.get_config(),
        lambda distiller: Distiller.from_config({}),
        lambda distiller: distiller.to_json(),
        keras.models.clone_model,
        lambda distiller: keras.models.save_model(distiller, "model.keras"),
    ],
)
def test_a_distiller_has_no_config_and_says_what_to_do(
    copy, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotImplementedError, match="Save or copy its stud") as e:
        copy(distil())
    assert "Distiller.save(path)" in str(e.value)
    assert "Received: Distiller." in str(e.value)


def test_the_student_can_be_cloned():
    distiller = distil()
    clone = keras.models.clone_model(distiller.student)
    assert clone.count_params() == mlp(1).count_params()
