"""The one door for configs: YAML with line numbers in, resolved YAML out."""

import difflib
import io
import os
import typing

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipelines.config.losses import Section
from pipelines.config.models import MODEL_ARGUMENTS
from pipelines.config.schema import Config

_PATHS = (
    ("data", "manual_dir"),
    ("data", "path"),
    ("teacher", "path"),
    ("student", "path"),
)


class ConfigError(ValueError):
    """A config that cannot be run, and where in it the fault lies."""


def load_config(path, overrides=()):
    """Reads, overrides and checks a config.

    Args:
        path: YAML file.
        overrides: Strings `section.key=value`, the value in YAML.

    Returns:
        `Config`, with paths made absolute.

    Raises:
        ConfigError: what is wrong, what is allowed, what came; with file and
            line, or the override at fault.
    """
    tree = _read(path)
    came_from = {}
    for override in overrides:
        keys, value = _parse_override(override)
        _set(tree, keys, value, override)
        came_from[keys] = f"--set {override}"
    try:
        config = Config.model_validate(_plain(tree))
    except pydantic.ValidationError as error:
        # A misspelt key explains the missing one, not the other way round.
        first = min(
            error.errors(), key=lambda e: e["type"] != "extra_forbidden"
        )
        where_and_what = _explain(first, tree, path, came_from)
        raise ConfigError(where_and_what) from error
    config = _resolve_paths(config)
    for loc, file in _files(config):
        if not os.path.exists(file):
            raise ConfigError(
                f"{_where(loc, tree, path, came_from)}: {'.'.join(loc)} is "
                f"missing. Allowed: a path that exists. Received: {file}"
            )
    return config


def dump_config(config):
    """The resolved config as YAML text, itself loadable by `load_config`."""
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(config.model_dump(), text)
    return text.getvalue()


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            tree = YAML().load(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            f"{path} cannot be read. Allowed: a YAML file. Received: {reason}"
        ) from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(error).splitlines()[0]
        if isinstance(error, MarkedYAMLError):
            problem = error.problem
        raise ConfigError(
            f"{path}:{mark.line + 1 if mark else 1}: this is no YAML that can "
            "be understood. Allowed: YAML 1.2, every key once. Received: "
            f"{problem}"
        ) from error
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path}:1: the config has no keys. Allowed: a mapping with "
            f"{', '.join(Config.model_fields)}. Received: "
            f"{type(tree).__name__}"
        )
    return tree


def _parse_override(override):
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(
            "An override cannot be read. Allowed: --set section.key=value. "
            f"Received: --set {override}"
        )
    try:
        value = YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ConfigError(
            "The value of an override cannot be read. Allowed: YAML. "
            f"Received: --set {override}"
        ) from error
    return tuple(key.split(".")), value


def _set(tree, keys, value, override):
    for i, key in enumerate(keys):
        if isinstance(tree, list):
            if not key.isdigit() or int(key) >= len(tree):
                raise ConfigError(
                    f"--set {override}: '{keys[i - 1]}' has no entry {key}. "
                    f"Allowed: 0 to {len(tree) - 1}. Received: "
                    f"{'.'.join(keys)}"
                )
            key = int(key)
        elif not isinstance(tree, dict):
            raise ConfigError(
                f"--set {override}: '{keys[i - 1]}' holds a value, not a "
                "section. Allowed: keys inside sections. Received: "
                f"{'.'.join(keys)}"
            )
        elif i < len(keys) - 1:
            tree.setdefault(key, {})
        if i == len(keys) - 1:
            tree[key] = value
        else:
            tree = tree[key]


def _plain(node):
    """Without ruamel's own types, which carry lines and styles."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _resolve_paths(config):
    data = config.model_dump()
    for (section, key), file in _files(config):
        data[section][key] = os.path.abspath(os.path.expanduser(file))
    return Config.model_validate(data)


def _files(config):
    for section, key in _PATHS:
        file = getattr(getattr(config, section), key)
        if file is not None:
            yield (section, key), file


def _explain(error, tree, path, came_from):
    """One line: where, what is wrong, what is allowed, what came."""
    loc = tuple(str(key) for key in error["loc"] if key not in _UNION_BRANCHES)
    if error["type"] == "stage":
        loc = (error["ctx"]["section"],)
    where = _where(loc, tree, path, came_from)
    if error["type"] == "extra_forbidden":
        return f"{where}: {_unknown_key(loc, tree)}"
    return f"{where}: {_beats(error, loc)}"


def _where(loc, tree, path, came_from):
    for keys, override in reversed(came_from.items()):
        if loc[: len(keys)] == keys or keys[: len(loc)] == loc != ():
            return override
    line = 1
    for key in loc:
        index = int(key) if isinstance(tree, list) and key.isdigit() else key
        try:
            line = tree.lc.key(index)[0] + 1
        except (AttributeError, KeyError, TypeError, IndexError):
            break
        tree = tree[index]
    return f"{path}:{line}"


def _beats(error, loc):
    name, kind, came = ".".join(loc), error["type"], error["input"]
    context = error.get("ctx", {})
    if kind == "stage":
        return context["problem"]
    if kind == "missing":
        return f"{name} is missing. Allowed: a value. Received: none"
    if kind == "value_error":
        problem = str(context["error"])
        if "Received" in problem or isinstance(came, dict):
            return f"{name}: {problem}"
        return f"{name} {problem}. Received: {came!r}"
    if kind in _RANGES:
        return f"{name} {_RANGES[kind].format(**context)}. Received: {came!r}"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{name} has the wrong form: {message}. Received: {came!r}"


# What pydantic adds to the place of a value that may be of two types.
_UNION_BRANCHES = ("float", "list[float]", "number", "ramp")

_RANGES = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be a section of keys",
    "model_type": "must be a section of keys",
    "model_attributes_type": "must be a section of keys",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must match {pattern}",
}


def _unknown_key(loc, tree):
    *section, key = loc
    allowed = list(_keys_allowed_in(section, tree))
    owner = ".".join(section) or "the config"
    near = difflib.get_close_matches(key, allowed, n=1)
    if near:
        return f"{owner} has no key '{key}'. Did you mean '{near[0]}'?"
    return (
        f"{owner} has no key '{key}'. Allowed: {', '.join(allowed)}. "
        f"Received: '{key}'"
    )


def _keys_allowed_in(section, tree):
    model = Config
    for key in section:
        if key == "args":
            model = MODEL_ARGUMENTS[tree["model"]]
        elif isinstance(tree, list):
            tree = tree[int(key)]
        else:
            model = _section_in(model.model_fields[key].annotation)
            tree = tree[key]
    return model.model_fields


def _section_in(annotation):
    """The section that a field holds: alone, in a list, or as one choice."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    inner = [_section_in(each) for each in typing.get_args(annotation)]
    return next((section for section in inner if section), None)
