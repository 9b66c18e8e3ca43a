"""What a page is made of."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, and what it is called if it is folded away at first.

    Attributes:
        make: Function of `tablefmt`, "github" or "html", to text.
        summary: What a folded table is called; None if it stands open.
    """

    make: Callable
    summary: str | None = None


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is under it: lines of text, tables, pictures."""

    title: str
    text: tuple = ()
    findings: tuple = ()
    tables: tuple = ()
    pictures: tuple = ()

    @property
    def id(self):
        return "-".join(self.title.lower().split())

    @property
    def is_empty(self):
        return not (self.text or self.tables or self.pictures)
