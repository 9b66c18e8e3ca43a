"""Reads configs: YAML with line numbers in, resolved YAML out."""

import difflib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipelines.config.base import Section, path_mark
from pipelines.config.schema import Config

# What ruamel raises of tags and numbers that it cannot read, too.
_NOT_YAML = (YAMLError, ValueError, KeyError, RecursionError)
_RENAMED = {
    "data.validation_share": "validation_fraction",
    "data.test_share": "test_fraction",
    "data.present_share": "present_fraction",
    "quantize.deliver": "release",
}


class ConfigError(ValueError):
    """A config that cannot be run, and where in it the fault lies."""


def load_config(path: str, overrides: Sequence[str] = ()) -> Config:
    """Reads, overrides and checks a config.

    Args:
        path: YAML file.
        overrides: Strings `section.key=value`, the value in YAML.

    Returns:
        `Config`, with paths made absolute.

    Raises:
        ConfigError: what is wrong, what to do, what was received; with file
            and line, or the override at fault.
    """
    tree = _read(path)
    came_from = {}
    for override in overrides:
        keys, value = _parse_override(override)
        _set(tree, keys, value, override)
        came_from[keys] = f"--set {override}"
    try:
        plain = _plain(tree)
    except RecursionError as error:
        raise ConfigError(
            f"{path}:1: the config is nested too deeply, or refers to itself. "
            "Write it without such references. Received: a recursion"
        ) from error
    try:
        config = Config.model_validate(plain)
    except pydantic.ValidationError as error:
        # A misspelt key explains the missing one, not the other way round.
        first = min(error.errors(), key=lambda e: e["type"] != "unknown_key")
        message = _explain(first, tree, path, came_from)
        raise ConfigError(message) from error
    config = _with_absolute_paths(config)
    for loc, file, must_exist in paths_in(config):
        if must_exist and not os.path.exists(file):
            raise ConfigError(
                f"{_where(loc, tree, path, came_from)}: {'.'.join(loc)} is "
                f"missing: no file or folder is there. Received: {file}"
            )
    return config


def dump_config(config: Config) -> str:
    """The resolved config as YAML text, itself loadable by `load_config`."""
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.dump(config.model_dump(mode="json"), text)
    return text.getvalue()


def paths_in(section: Section) -> Iterator[tuple[tuple[str, ...], str, bool]]:
    """Every path that a config names: (keys, path, whether it must exist).

    Args:
        section: `Config`, or a section of it.
    """
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        mark = path_mark(field.annotation, field.metadata)
        if isinstance(value, Section):
            for keys, path, must_exist in paths_in(value):
                yield (key, *keys), path, must_exist
        elif mark is not None and isinstance(value, str):
            yield (key,), value, mark.must_exist


def _with_absolute_paths(config: Config) -> Config:
    for keys, path, must_exist in list(paths_in(config)):
        absolute = os.path.abspath(os.path.expanduser(path))
        if must_exist or os.path.isfile(absolute):
            config = _replaced(config, keys, absolute)
    return config


def _replaced(section: Any, keys: Sequence[str], value: str) -> Any:
    """A copy of a section with another value in one place."""
    key, *inner = keys
    if inner:
        value = _replaced(getattr(section, key), inner, value)
    return section.model_copy(update={key: value})


def _read(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            tree = YAML().load(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(
            f"{path} cannot be read. Give a YAML file. Received: {reason}"
        ) from error
    except _NOT_YAML as error:
        mark = getattr(error, "problem_mark", None)
        problem = (str(error).splitlines() or [type(error).__name__])[0][:200]
        if isinstance(error, MarkedYAMLError):
            problem = error.problem
        raise ConfigError(
            f"{path}:{mark.line + 1 if mark else 1}: this is not YAML that can "
            "be understood. Write YAML 1.2, every key once. Received: "
            f"{problem}"
        ) from error
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path}:1: the config has no keys. Allowed: "
            f"{', '.join(Config.model_fields)}. Received: "
            f"{type(tree).__name__}"
        )
    return tree


def _parse_override(override: str) -> tuple[tuple[str, ...], Any]:
    key, equals, text = override.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(
            "An override cannot be read. Write --set section.key=value. "
            f"Received: --set {override}"
        )
    try:
        value = YAML(typ="safe").load(text)
    except _NOT_YAML as error:
        raise ConfigError(
            "The value of an override cannot be read. Write YAML. "
            f"Received: --set {override}"
        ) from error
    return tuple(key.split(".")), value


def _set(tree: Any, keys: tuple[str, ...], value: Any, override: str) -> None:
    for i, key in enumerate(keys):
        if isinstance(tree, list):
            if not (key.isascii() and key.isdigit()) or int(key) >= len(tree):
                raise ConfigError(
                    f"--set {override}: '{keys[i - 1]}' has no entry {key}. "
                    f"Allowed: 0 to {len(tree) - 1}. Received: "
                    f"{'.'.join(keys)}"
                )
            key = int(key)  # type: ignore[assignment]
        elif not isinstance(tree, dict):
            raise ConfigError(
                f"--set {override}: '{keys[i - 1]}' holds a value, not a "
                "section. Set keys of sections. Received: "
                f"{'.'.join(keys)}"
            )
        elif i < len(keys) - 1:
            tree.setdefault(key, {})
        if i == len(keys) - 1:
            tree[key] = value
        else:
            tree = tree[key]


def _plain(node: Any) -> Any:
    """Without ruamel's own types, which carry lines and styles."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _explain(
    error: Mapping[str, Any],
    tree: Any,
    path: str,
    came_from: Mapping[tuple[str, ...], str],
) -> str:
    """One line: where, what is wrong, what is allowed, what was received."""
    loc = _keys_of(error, tree)
    context = error.get("ctx", {})
    if error["type"] == "stage":
        loc = (context["section"],)
    if error["type"] == "unknown_key":
        where = _where((*loc, context["key"]), tree, path, came_from)
        if "problem" in context:
            return f"{where}: {context['problem']}"
        return f"{where}: {_unknown_key(loc, **context)}"
    return f"{_where(loc, tree, path, came_from)}: {_problem(error, loc)}"


def _keys_of(error: Mapping[str, Any], tree: Any) -> tuple[str, ...]:
    """Place of an error, without what pydantic adds of types it tried."""
    keys: list[str] = []
    for key in error["loc"]:
        if (isinstance(tree, dict) and key in tree) or (
            isinstance(tree, list) and isinstance(key, int)
        ):
            tree = tree[key]
        elif error["type"] != "missing" or not isinstance(tree, dict):
            continue
        keys.append(str(key))
    return tuple(keys)


def _where(
    loc: tuple[str, ...],
    tree: Any,
    path: str,
    came_from: Mapping[tuple[str, ...], str],
) -> str:
    for keys, override in reversed(list(came_from.items())):
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


def _problem(error: Mapping[str, Any], loc: tuple[str, ...]) -> str:
    name, kind, received = ".".join(loc), error["type"], error["input"]
    context = error.get("ctx", {})
    if kind == "stage":
        return str(context["problem"])
    if kind == "missing":
        return f"{name} is missing. Give it a value. Received: none"
    if kind == "value_error":
        problem = str(context["error"])
        if "Received" in problem or isinstance(received, dict):
            return f"{name}: {problem}"
        return f"{name} {problem}. Received: {received!r}"
    if kind in _RANGES:
        limits = _RANGES[kind].format(**context)
        return f"{name} {limits}. Received: {received!r}"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{name} has the wrong form: {message}. Received: {received!r}"


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
    "is_instance_of": "must be a list",
    "dict_type": "must be a section of keys",
    "model_type": "must be a section of keys",
    "model_attributes_type": "must be a section of keys",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must match {pattern}",
}


def _unknown_key(loc: tuple[str, ...], key: str, allowed: list[str]) -> str:
    owner = ".".join(loc) or "the config"
    renamed = _RENAMED.get(".".join((*loc, key)))
    if renamed:
        return f"{owner} has no key '{key}'. It is now called '{renamed}'."
    if not allowed:
        return f"{owner} has no keys here. Received: '{key}'"
    near = difflib.get_close_matches(key, allowed, n=1)
    if near:
        return f"{owner} has no key '{key}'. Did you mean '{near[0]}'?"
    return (
        f"{owner} has no key '{key}'. Allowed: {', '.join(allowed)}. "
        f"Received: '{key}'"
    )
