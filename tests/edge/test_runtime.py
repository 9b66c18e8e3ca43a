import numpy as np
from ai_edge_litert.interpreter import Interpreter

from kd_tf import FileModel
from tests.edge.conftest import IMAGES


def test_integer_outputs_are_scaled_back(int8_file):
    interpreter = Interpreter(str(int8_file), num_threads=1)
    run = interpreter.get_signature_runner()
    raw = np.stack([run(image=x[np.newaxis])["logits"][0] for x in IMAGES])
    assert raw.dtype == np.int8
    scale, zero_point = run.get_output_details()["logits"]["quantization"]
    outputs = FileModel(int8_file)(IMAGES)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(
        outputs, (raw.astype("float64") - zero_point) * scale, rtol=1e-6
    )


def test_float_outputs_are_passed_on(float_file, int8_file):
    outputs = FileModel(float_file)(IMAGES)
    assert outputs.shape == (40, 3)
    assert outputs.dtype == np.float32
    error = FileModel(int8_file)(IMAGES) - outputs
    assert np.mean(error**2) / np.var(outputs) < 5e-3


def test_examples_are_run_one_at_a_time(float_file):
    model = FileModel(float_file)
    np.testing.assert_array_equal(
        model(IMAGES), np.concatenate([model(x[np.newaxis]) for x in IMAGES])
    )
