"""The one pattern of all tables: a row names a function, and is its spec.

A loss, a model, a data source, a task, a compression pass, a quantization
recipe is one row of one table. Types, ranges, defaults and descriptions of
its arguments are those of the function's own signature and docstring, which
are read from the source, so that reading a table starts no TensorFlow.
"""

import ast
import builtins
import collections.abc
import dataclasses
import difflib
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from kd_tf.entry_points import load_entry_point, parse_function


class _Mark:
    """A default that is no value."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


REQUIRED = _Mark("required")
COMPUTED = _Mark("computed")  # by the function's module, which is not run


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of a function, as its source has it.

    Attributes:
        name: The parameter.
        annotation: Type, with a range if it is one of `kd_tf.ranges`;
            `typing.Any` where it has none that can be read.
        default: Default value, `REQUIRED`, or `COMPUTED` where it is not
            written down as a value.
        description: Its entry in the docstring, on one line.
    """

    name: str
    annotation: Any
    default: Any
    description: str


@dataclasses.dataclass(frozen=True)
class Spec:
    """One row of a table.

    Attributes:
        function: `"package.module:function"`, imported by `load` alone.
    """

    function: str

    # Parameters that the caller fills in, whoever wrote the function.
    supplied: ClassVar[tuple[str, ...]] = ()

    def load(self) -> Callable[..., Any]:
        """Imports the function."""
        return load_entry_point(self.function)

    @property
    def is_readable(self) -> bool:
        """Whether the signature is known; if not, any argument may be right."""
        return parse_function(self.function) is not None

    @property
    def arguments(self) -> dict[str, Argument]:
        """{name: argument} of all that a user may set, in order."""
        found = read_arguments(self.function)
        return {n: a for n, a in found.items() if n not in self.supplied}

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        node = parse_function(self.function)
        text = (node and ast.get_docstring(node)) or ""
        return text.partition("\n")[0]


S = TypeVar("S", bound=Spec)


class Table(dict[str, S], Generic[S]):
    """Specs by name. A row that is added is known everywhere.

    Args:
        what: What a row is, in messages: "loss", "model".
        rows: {name: spec}.
        own: Function from `"package.module:function"` to the spec of a
            function of the user's own; None where there can be none.
    """

    def __init__(
        self,
        what: str,
        rows: Mapping[str, S],
        *,
        own: Callable[[str], S] | None = None,
    ) -> None:
        super().__init__(rows)
        self.what, self.own = what, own

    def find(self, name: str) -> S:
        """The spec of a name.

        Args:
            name: A key, or `"package.module:function"`.

        Raises:
            ValueError: if there is none.
        """
        if name in self:
            return self[name]
        if self.own is not None and ":" in name:
            return self.own(name)
        near = difflib.get_close_matches(name, self, n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        function = ", or 'package.module:function'" if self.own else ""
        raise ValueError(
            f"There is no {self.what} '{name}'. {hint}Allowed: "
            f"{', '.join(self)}{function}. Received: '{name}'"
        )


@functools.cache
def read_arguments(function: str) -> dict[str, Argument]:
    """Reads the parameters of a function without importing it.

    Args:
        function: `"package.module:function"`.

    Returns:
        {name: `Argument`}, in order; empty if the source cannot be found.
    """
    node = parse_function(function)
    if node is None:
        return {}
    described = _descriptions(ast.get_docstring(node) or "")
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    missing = [None] * (len(positional) - len(given.defaults))
    pairs = [
        *zip(positional, [*missing, *given.defaults], strict=True),
        *zip(given.kwonlyargs, given.kw_defaults, strict=True),
    ]
    return {
        parameter.arg: Argument(
            parameter.arg,
            _annotation(parameter.annotation),
            REQUIRED if default is None else _value(default),
            described.get(parameter.arg, ""),
        )
        for parameter, default in pairs
    }


def _annotation(node: ast.expr | None) -> Any:
    if node is None:
        return Any
    try:
        return eval(ast.unparse(node), dict(_names()))
    except Exception:
        return Any  # a type of a library that is not imported here


def _value(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return COMPUTED


def _descriptions(docstring: str) -> dict[str, str]:
    import docstring_parser

    found = docstring_parser.parse(
        docstring, docstring_parser.DocstringStyle.GOOGLE
    )
    return {
        parameter.arg_name: " ".join((parameter.description or "").split())
        for parameter in found.params
    }


@functools.cache
def _names() -> dict[str, Any]:
    """What annotations may be made of."""
    # Needs pydantic, which a device that runs files does not have.
    from kd_tf import ranges

    return {
        # Types alone: to read an annotation must not run anything.
        **{n: t for n, t in vars(builtins).items() if isinstance(t, type)},
        **_public(collections.abc),
        **_public(typing),
        **_public(ranges),
        # Last, for modules have builtins of their own.
        "__builtins__": {},
    }


def _public(module: Any) -> dict[str, Any]:
    """Names of a module but for other modules, which lead everywhere."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
