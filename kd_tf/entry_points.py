"""Functions by name: `"package.module:function"`.

A name can be loaded, which imports its module, or read, which does not: the
source is found and parsed, so that a config is checked without TensorFlow.
"""

import ast
import copy
import functools
import importlib
import importlib.machinery
import importlib.util
from collections.abc import Callable
from typing import Any


def load_entry_point(name: str, what: str = "function") -> Callable[..., Any]:
    """Imports the function that a name stands for.

    Args:
        name: `"package.module:function"`.
        what: What it is needed for, used in the message.

    Raises:
        ValueError: if Python cannot import it.
    """
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"The {what} '{name}' cannot be imported. Write "
            "'package.module:function', of a module that Python finds. "
            f"Received: {error}"
        ) from error


def find_source(module: str) -> str | None:
    """Path of a module's source file, found without importing anything.

    Args:
        module: Dotted name.

    Returns:
        Path of the `.py` file, of a package that of its `__init__.py`; None
        if there is no such module or it is not written in Python.
    """
    top, *inner = module.split(".")
    try:
        # Asks all finders: editable installs have one of their own.
        spec = importlib.util.find_spec(top)
    except ValueError:
        return None  # such as `__main__`
    for part in inner:
        folders = spec.submodule_search_locations if spec else None
        if folders is None:
            return None  # a module, not a package
        spec = importlib.machinery.PathFinder.find_spec(part, list(folders))
    origin = spec.origin if spec else None
    return origin if origin and origin.endswith(".py") else None


def parse_function(name: str) -> ast.FunctionDef | None:
    """The definition behind a name, found without importing anything.

    Args:
        name: `"package.module:function"`, `"package.module:Class"` or
            `"package.module:Class.method"`. For a class its constructor is
            returned, of a dataclass one made from its fields, with the
            docstring of the class and without `self`.

    Returns:
        None if the module is not found, or does not define it itself.
    """
    module, _, qualified = name.partition(":")
    path = find_source(module)
    outer, _, method = qualified.partition(".")
    for node in _parse(path).body if path else ():
        if isinstance(node, ast.FunctionDef) and node.name == qualified:
            return node
        if isinstance(node, ast.ClassDef) and node.name == outer:
            return _method(node, method) if method else _constructor(node)
    return None


@functools.cache
def _parse(path: str) -> ast.Module:
    try:
        with open(path, "rb") as file:
            return ast.parse(file.read())  # which heeds its coding cookie
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def _method(definition: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            given = copy.deepcopy(node)
            given.args.args = [a for a in given.args.args if a.arg != "self"]
            return given
    return None


def _constructor(definition: ast.ClassDef) -> ast.FunctionDef:
    constructor = _method(definition, "__init__") or _from_fields(definition)
    described = ast.get_docstring(definition) or ""
    constructor.body = [ast.Expr(ast.Constant(described))]
    return constructor


def _from_fields(definition: ast.ClassDef) -> ast.FunctionDef:
    """The constructor that a dataclass gets from its fields."""
    [constructor] = ast.parse("def __init__(): pass").body
    assert isinstance(constructor, ast.FunctionDef)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(
            node.target, ast.Name
        ):
            field = ast.arg(node.target.id, node.annotation)
            constructor.args.kwonlyargs.append(field)
            constructor.args.kw_defaults.append(node.value)
    return constructor
