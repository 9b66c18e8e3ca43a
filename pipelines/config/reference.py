"""Every key of a config, for people and for editors.

    python -m pipelines.config.reference

writes `docs/config.md`, a page of all keys, and `configs/schema.json`, a JSON
Schema by which editors complete and check YAML. Both follow from the schema
and from the signatures behind it.
"""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from tabulate import tabulate

from kd_tf.compression import PASSES
from kd_tf.data.sources import SOURCES
from kd_tf.distillation.loss_table import LOSSES
from kd_tf.models import MODELS
from kd_tf.ranges import ArgumentsOf
from kd_tf.specs import Table
from kd_tf.tasks import TASKS
from pipelines.config.base import Ramp, Section, arguments_section, marks
from pipelines.config.data import Augment, Data, OwnData, data_section
from pipelines.config.losses import Loss, OwnLoss, loss_section
from pipelines.config.schema import (
    Benchmark,
    Budget,
    Config,
    Control,
    Distill,
    Export,
    Prune,
    Quantize,
    Seeds,
    Student,
    Teacher,
    Verify,
    arguments_of_model,
    labels_section,
    pass_section,
)

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / "docs" / "config.md"
SCHEMA = ROOT / "configs" / "schema.json"
_OWN = "package.module:function"
_SECTIONS = {
    "seeds": Seeds,
    "data": Data,
    "data.augment": Augment,
    "teacher": Teacher,
    "student": Student,
    "control": Control,
    "distill": Distill,
    "prune": Prune,
    "quantize": Quantize,
    "export": Export,
    "verify": Verify,
    "budget": Budget,
    "benchmark": Benchmark,
}


def json_schema() -> str:
    """The JSON Schema of a config."""
    return json.dumps(Config.model_json_schema(), indent=1) + "\n"


def page() -> str:
    """All keys with type, range, default and meaning, in Markdown."""
    return "\n".join(_lines()).rstrip() + "\n"


def main() -> None:
    """Writes both files."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(json_schema(), encoding="utf-8")


def _lines() -> Iterator[str]:
    yield "# Keys of a config\n"
    yield (
        "Made by `python -m pipelines.config.reference` from the schema and "
        "the signatures behind it. A key without a default must be given.\n"
    )
    yield _table(Config)
    for key, section in _SECTIONS.items():
        yield f"## `{key}`\n\n{_docstring(section)}\n\n{_table(section)}"
    yield from _variants(
        "labels",
        {task: labels_section(task) for task in TASKS},
        base=Section,
        rows=TASKS,
    )
    yield from _variants(
        "data` by `source",
        {
            **{n: data_section(n, s) for n, s in SOURCES.items()},
            _OWN: OwnData,
        },
        base=Data,
        rows=SOURCES,
    )
    yield from _variants(
        "teacher.args` and `student.args` by `model",
        {n: arguments_of_model(s) for n, s in MODELS.items()},
        base=Section,
        rows=MODELS,
    )
    for name, function in _nested(MODELS).items():
        yield f"## `args.{name}` of a model\n\n"
        yield _table(arguments_section(function))
    yield from _variants(
        "prune` by `method",
        {n: pass_section(s) for n, s in PASSES.items()},
        base=Prune,
        rows=PASSES,
    )
    yield f"## An entry of `distill.losses`\n\n{_docstring(Loss)}\n"
    yield _table(Loss)
    yield from _variants(
        "distill.losses` by `name",
        {**{n: loss_section(n, s) for n, s in LOSSES.items()}, _OWN: OwnLoss},
        base=Loss,
        rows=LOSSES,
    )
    yield f"## A number that changes\n\n{_docstring(Ramp)}\n\n{_table(Ramp)}"


def _nested(table: Table[Any]) -> dict[str, str]:
    """{argument: function} of arguments that are arguments of another one."""
    return {
        name: mark.function
        for spec in table.values()
        for name, argument in spec.arguments.items()
        for mark in marks(argument.annotation, ArgumentsOf)
    }


def _variants(
    title: str,
    sections: dict[str, type[Section]],
    *,
    base: type[Section],
    rows: Table[Any],
) -> Iterator[str]:
    """Further keys that a section has for some values of one key."""
    yield f"## `{title}`\n"
    for name, section in sections.items():
        keys = [k for k in section.model_fields if k not in base.model_fields]
        table = _table(section, keys) if keys else "No further keys.\n"
        yield f"### `{name}`\n\n{_summary(rows, name)}{table}"


def _summary(rows: Table[Any], name: str) -> str:
    if name not in rows:
        return ""
    summary = rows[name].summary
    title = getattr(rows[name], "title", "")
    return (
        f"{summary} {f'In tables: {title}.' if title else ''}".strip() + "\n\n"
    )


def _table(section: type[BaseModel], keys: list[str] | None = None) -> str:
    schema = section.model_json_schema()
    definitions = schema.get("$defs", {})
    required = schema.get("required", ())
    rows = [
        [
            f"`{key}`",
            _type(field, definitions),
            "" if key in required else _default(field),
            field.get("description", "").replace("|", "\\|"),
        ]
        for key, field in schema["properties"].items()
        if keys is None or key in keys
    ]
    headers = ["key", "type", "default", "meaning"]
    return tabulate(rows, headers, "github", disable_numparse=True) + "\n"


def _default(field: dict[str, Any]) -> str:
    if "default" not in field or isinstance(field["default"], dict):
        return ""
    return f"`{json.dumps(field['default'], ensure_ascii=False)}`"


_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "minItems": "length at least",
    "maxItems": "length at most",
}


def _type(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A type in words, with its range."""
    for key in ("anyOf", "oneOf"):
        if key in field:
            kinds = [_type(kind, definitions) for kind in field[key]]
            return " or ".join(dict.fromkeys(kinds))
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        title = definitions.get(name, {}).get("title", name)
        return "a ramp" if title == "Ramp" else "keys"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    bounds = [
        f"{words} {field[key]}"
        for key, words in _BOUNDS.items()
        if key in field
    ]
    kind = field.get("type", "any")
    if kind == "array":
        kind = f"list of {_type(field.get('items', {}), definitions)}"
    return ", ".join([kind, *bounds])


def _docstring(section: type[BaseModel]) -> str:
    return " ".join((section.__doc__ or "").split())


if __name__ == "__main__":
    main()
