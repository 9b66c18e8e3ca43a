"""One function and one row of each kind, from a config to the `.tflite`."""

import subprocess
import sys

from tests.conftest import ROOT

# All that has to be written besides the functions.
ROWS = """
from kd_tf.compression import PASSES, PassSpec
from kd_tf.data.sources import SOURCES, SourceSpec
from kd_tf.distillation.loss_table import LOSSES, LossSpec
from kd_tf.export.recipes import RECIPES, RecipeSpec
from kd_tf.models import MODELS, ModelSpec
from kd_tf.tasks import TASKS, TaskSpec

here = "tests.pipelines.made_up"
LOSSES["absolute"] = LossSpec(f"{here}:absolute_loss", knowledge="response")
MODELS["line"] = ModelSpec(f"{here}:line")
SOURCES["compass"] = SourceSpec(f"{here}:compass_source", is_tabular=True)
TASKS["direction"] = TaskSpec("tests.tasks.made_up:Direction")
PASSES["shrink"] = PassSpec(f"{here}:shrink", title="shrunk")
RECIPES["dynamic_int8"] = RecipeSpec(
    "litert_quantizer.recipe:dynamic_wi8_afp32",
    needs_examples=False,
    title=".tflite dynamic int8",
)
"""
CONFIG = """
name: made_up
task: direction
data: {source: compass, count: 120}
labels: {delta: 0.5}
teacher: {model: line, args: {units: 8}, epochs: 2}
student: {model: line, epochs: 2}
distill: {losses: [{name: absolute, scale: 2}]}
prune: {method: shrink, factor: 0.5, epochs: 2}
quantize: {release: dynamic_int8, calibration_examples: 8}
benchmark: {runs: 3, warmup: 1}
"""
SCRIPT = (
    ROWS
    + """
import sys
from pipelines.config import reference
from pipelines.run import run

results = run(sys.argv[1], sys.argv[2])
assert [v.title for v in results.variants] == [
    "teacher", "student on labels", "student distilled", "shrunk",
    ".tflite weight-only int8", ".tflite int8", ".tflite dynamic int8",
]
assert results.released == "dynamic_int8"
assert set(results.file_scores) == {v.name for v in results.variants}
assert "cosine" in results.file_scores["dynamic_int8"].scores
assert "absolute_loss" in results.trainings["student"].history[0]
assert results.missed == []
for name in ("absolute", "line", "compass", "direction", "shrink"):
    assert f"### `{name}`" in reference.page(), name
"""
)


def test_one_function_and_one_row_of_each_kind(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            SCRIPT,
            str(tmp_path / "config.yaml"),
            str(tmp_path / "run"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "run" / "report.md").read_text()
    assert "mean cosine" in page
    assert ".tflite dynamic int8" in page
