import subprocess
import sys

import numpy as np
import pytest

from kd_tf import FileModel, quantize_tflite
from kd_tf.export.recipes import RECIPES, RecipeSpec
from tests.export.conftest import IMAGES, keras_logits


def test_recipes_come_in_order_with_their_titles():
    assert {name: spec.title for name, spec in RECIPES.items()} == {
        "weight_only_int8": ".tflite weight-only int8",
        "int8": ".tflite int8",
    }
    assert list(RECIPES) == ["weight_only_int8", "int8"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_loads_and_is_not_empty(name):
    assert len(RECIPES.find(name).load()()) > 0


def test_one_row_adds_a_recipe(exported, tmp_path, monkeypatch):
    row = RecipeSpec(
        "litert_quantizer.recipe:dynamic_wi8_afp32",
        needs_examples=False,
        title=".tflite dynamic int8",
    )
    monkeypatch.setitem(RECIPES, "dynamic_int8", row)
    model, file = exported
    path = tmp_path / "dynamic.tflite"
    record = quantize_tflite(file, path, recipe="dynamic_int8")
    assert path.stat().st_size < file.stat().st_size
    # Weights are read as integers, so that nothing dequantizes them.
    assert "DEQUANTIZE" not in record.operators
    assert record.operators["CONV_2D"] == 2
    np.testing.assert_allclose(
        FileModel(path)(IMAGES), keras_logits(model), atol=0.05
    )


def test_reading_the_table_imports_no_quantizer_and_no_tensorflow():
    code = (
        "import sys, kd_tf.export.recipes; "
        "sys.exit(bool({'tensorflow', 'keras', 'litert_quantizer', "
        "'ai_edge_litert'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
