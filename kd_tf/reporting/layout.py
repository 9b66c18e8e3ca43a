"""What a page is made of: sections of text, tables and pictures."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate  # type: ignore[import-untyped]

from kd_tf.reporting.pictures import Picture


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose first column is words.

    Attributes:
        headers: One for each column.
        rows: Cells, one for each header; text, or what `str` makes of it.
        summary: What a table that is folded at first is called; None if it
            is always open.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    summary: str | None = None

    @property
    def html(self) -> str:
        """The table in HTML, its cells escaped."""
        return self._text("html", self.headers, self.rows)

    @property
    def markdown(self) -> str:
        """The table in the Markdown of GitHub."""
        # A bar in somebody's class name must not end a cell.
        headers, *rows = (
            [str(cell).replace("|", "\\|") for cell in row]
            for row in (self.headers, *self.rows)
        )
        return self._text("github", headers, rows)

    def _text(
        self,
        tablefmt: str,
        headers: Sequence[str],
        rows: Sequence[Sequence[Any]],
    ) -> str:
        columns = zip(*rows, strict=True) if rows else [()] * len(headers)
        align = [
            "right" if all(map(_is_number, c)) else "left" for c in columns
        ]
        return tabulate(
            rows,
            headers,
            tablefmt,
            colalign=("left", *align[1:]),
            disable_numparse=True,
        )


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is under it.

    Attributes:
        title: The heading, unique within a page.
        text: Paragraphs.
        findings: Entries of a list below them.
        tables: Tables below the list.
        pictures: Pictures below the tables.
    """

    title: str
    text: Sequence[str] = ()
    findings: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()

    @property
    def id(self) -> str:
        """What links to the section refer to."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing under the heading."""
        return not (self.text or self.findings or self.tables or self.pictures)


def _is_number(cell: Any) -> bool:
    return cell == "" or str(cell)[:1] in tuple("+-0123456789")
