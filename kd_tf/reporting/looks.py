"""How models and runs differ in a picture: by their position in a list."""

import dataclasses
from typing import Any

_COLORS = ("#4269d0", "#e0452f", "#2a9d4a", "#8d4bd6", "#c98a00", "#9c6b4e")
_LINES = ("-", "-.", "--", ":")
_MARKERS = "osD^vPX"


@dataclasses.dataclass(frozen=True)
class Look:
    """Color, line style and marker, as matplotlib names them."""

    color: str
    linestyle: str
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of a line without markers."""
        return {"color": self.color, "linestyle": self.linestyle}


def look(position: int) -> Look:
    """The look of the n-th of several models or runs.

    The first 24 differ in color or line, the first 42 in color or marker;
    neighbors differ in all three.

    Args:
        position: Place in a list, from 0.
    """
    num_colors = len(_COLORS)
    # Six colors and four lines meet again after 12; one line further on,
    # the next 12 pairs are those that have not occurred.
    line = position + position // (2 * num_colors)
    return Look(
        _COLORS[position % num_colors],
        _LINES[line % len(_LINES)],
        _MARKERS[position % len(_MARKERS)],
    )
