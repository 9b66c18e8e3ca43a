"""The page of keys and the JSON Schema, against the configs that ship."""

import json

import jsonschema
import pytest
from ruamel.yaml import YAML

from pipelines.config import reference
from pipelines.config.loading import ConfigError, load_config
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (reference.PAGE, reference.page),
        (reference.SCHEMA, reference.json_schema),
    ],
    ids=["page", "schema"],
)
def test_what_is_written_down_is_current(path, text):
    # If not: python -m pipelines.config.reference
    assert path.read_text(encoding="utf-8") == text()


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(reference.json_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem
)
def test_configs_that_ship_fit_the_schema(validator, path):
    tree = YAML(typ="safe", pure=True).load(path.read_text())
    assert [e.message for e in validator.iter_errors(tree)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"prune": {"sparsity": 2}},
        {"prune": {"sparsty": 0.5}},
        {"data": {"source": "digits", "path": "x"}},
        {"data": {"source": "npz"}},
        {"teacher": {"epochs": 0}},
        {"distill": {"losses": [{"name": "hint", "beta": 1}]}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_loader_refuses(validator, tmp_path, wrong):
    tree = {
        "name": "trial",
        "data": {"source": "digits"},
        "teacher": {"model": "cnn"},
        "student": {"model": "cnn"},
        **wrong,
    }
    path = tmp_path / "trial.yaml"
    path.write_text(json.dumps(tree))
    assert list(validator.iter_errors(tree))
    with pytest.raises(ConfigError):
        load_config(path)


def test_every_key_of_the_page_has_a_meaning():
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in reference.page().splitlines()
        if line.startswith("| `")
    ]
    assert len(rows) > 100
    assert [row for row in rows if not row[1] or not row[3]] == []
