"""A picture: its PNG, and what a page must know to show it.

All are PNG at twice the pixels they are shown with: sharp on a telephone and
on paper, of a size known before they load, and the same bytes again from the
same figures.
"""

import base64
import dataclasses
import io

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

WIDTH = 4.6  # inches of 96 pixels: nearly as wide as a telephone
NARROW = 1.8  # two beside each other there
_DENSITY = 2
_COLORS = 256

# A role has its colour and its line in all pictures.
LOOK = {
    "teacher": {"color": "#4269d0", "linestyle": "-"},
    "control": {"color": "#9c6b4e", "linestyle": "-."},
    "student": {"color": "#2a9d4a", "linestyle": "--"},
    "pruned": {"color": "#8d4bd6", "linestyle": "--"},
    "weight_only_int8": {"color": "#c98a00", "linestyle": ":"},
    "int8": {"color": "#e0452f", "linestyle": ":"},
    "float": {"color": "#e0452f", "linestyle": ":"},
}
_OTHERS = ("#4269d0", "#e0452f", "#2a9d4a", "#8d4bd6", "#c98a00", "#9c6b4e")
_LINES = ("-", "--", "-.", ":")

# A decorator of functions that draw.
styled = matplotlib.rc_context(
    {
        "font.size": 9,
        # Names of classes are no formulas.
        "text.parse_math": False,
        "axes.titlesize": 10,
        "legend.fontsize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "lines.linewidth": 1.6,
    }
)


@dataclasses.dataclass(frozen=True)
class Picture:
    """What a page shows.

    Attributes:
        name: Of its file, without folder and ending.
        alt: What is seen, with the main figures, for those who do not see it.
        png: Bytes.
        width: Pixels of the page.
        height: Pixels of the page.
    """

    name: str
    alt: str
    png: bytes
    width: int
    height: int

    @property
    def file(self):
        return f"pictures/{self.name}.png"

    @property
    def data_uri(self):
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def canvas(width=WIDTH, height=3.0, **subplots):
    """A figure and its axes, apart from pyplot and its global state.

    Args:
        width: Inches.
        height: Inches.
        **subplots: As `Figure.subplots` takes them.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**subplots)


def picture(figure, name, alt):
    """Renders a figure.

    Args:
        figure: Matplotlib's.
        name: Of the file.
        alt: What is seen on it.
    """
    figure.set_dpi(96 * _DENSITY)
    drawing = FigureCanvasAgg(figure)
    drawing.draw()
    image = Image.fromarray(np.asarray(drawing.buffer_rgba())).convert("RGB")
    packed = io.BytesIO()
    # A palette makes a third of the bytes.
    image = image.quantize(_COLORS)
    image.save(packed, format="PNG", optimize=True)
    width, height = (-(-side // _DENSITY) for side in image.size)
    return Picture(name, alt, packed.getvalue(), width, height)


def look(number):
    """Colour and line of the n-th of things that have no role."""
    return {
        "color": _OTHERS[number % len(_OTHERS)],
        "linestyle": _LINES[number // len(_OTHERS) % len(_LINES)],
    }


def count_epochs(axis):
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
