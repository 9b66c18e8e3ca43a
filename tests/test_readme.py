"""The README's code, run as it stands there."""

import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ROOT

SECTION = re.search(
    r"## In your own Keras code\n(.*?)\n## ",
    (ROOT / "README.md").read_text(encoding="utf-8"),
    flags=re.DOTALL,
).group(1)
BLOCKS = re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL)


def block(start):
    """The one block that holds this text."""
    (only,) = [code for code in BLOCKS if start in code]
    return only


def convolutions(name, width, nested):
    inside = [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(width, 3, name="conv1"),
        keras.layers.Conv2D(width, 3, name="conv2"),
    ]
    if nested:
        inside = [
            keras.Input((8, 8, 1)),
            keras.Sequential(inside, name="stage3"),
        ]
    return keras.Sequential(
        [
            *inside,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ],
        name=name,
    )


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What a reader has before the first line."""
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(size=(12, 8, 8, 1)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, np.arange(12) % 3)).batch(4)
    return {
        "student": convolutions("student", 2, nested=False),
        "teacher": convolutions("teacher", 4, nested=True),
        "label_loss": keras.losses.SparseCategoricalCrossentropy(
            from_logits=True
        ),
        "train": data,
        "validation": data,
    }


def test_five_lines_leave_a_student(names, tmp_path, capsys):
    code = block("student.save(")
    assert len([line for line in code.splitlines() if line]) == 5
    exec(code, names)
    saved = keras.models.load_model(tmp_path / "student.keras")
    assert saved.count_params() == names["student"].count_params()
    exec(block("diagnose"), names)
    assert "12 examples; teacher " in capsys.readouterr().out


def test_losses_between_layers(names):
    exec("import kd_tf\n" + block('LossTerm("hint"'), names)
    distiller = names["distiller"]
    assert distiller.adapter_parameters == 2 * 4 + 4
    distiller.compile("adam", names["label_loss"])
    history = distiller.fit(names["train"], verbose=0).history
    assert history.keys() >= {"hint_loss", "rkd_distance_loss"}


def test_custom_loss_in_ten_lines(names):
    code = block("def cosine_loss")
    assert len([line for line in code.splitlines() if line]) <= 10
    exec("import kd_tf\n" + code, names)
    distiller = names["distiller"]
    distiller.compile("adam", names["label_loss"])
    logs = distiller.evaluate(names["train"], verbose=0, return_dict=True)
    x = np.concatenate([x for x, _ in names["train"]])
    s, t = names["student"](x).numpy(), names["teacher"](x).numpy()
    cosine = np.sum(s * t, -1) / np.linalg.norm(s, axis=-1)
    cosine = cosine / np.linalg.norm(t, axis=-1)
    assert logs["cosine_loss"] == pytest.approx(1 - cosine.mean(), rel=1e-4)


def test_custom_distiller_in_twenty_lines(names):
    code = block("class TrustingDistiller")
    assert len([line for line in code.splitlines() if line]) <= 20
    exec("import kd_tf\nfrom keras import ops\n" + code, names)
    assert len(names["history"]["trusted_loss"]) == 1
    assert names["history"]["val_trusted_loss"][0] > 0
    # The loss of those examples alone where the teacher is right, unreduced.
    x, y = (
        np.concatenate(part) for part in zip(*names["validation"], strict=True)
    )
    z, t = names["student"](x).numpy(), names["teacher"](x).numpy()
    by_hand = np.mean((t.argmax(-1) == y) * np.mean((z - t) ** 2, axis=-1))
    assert names["history"]["val_trusted_loss"][0] == pytest.approx(
        by_hand, rel=1e-4
    )


def test_what_the_section_names_is_there_from_a_fresh_import():
    found = sorted(set(re.findall(r"kd_tf(?:\.[A-Za-z]\w*)+", SECTION)))
    assert "kd_tf.schedules" in found
    code = "import kd_tf\n" + "\n".join(found)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
