"""A picture: its PNG, and what a page needs to show it.

All are PNG at twice the pixels they are shown with: sharp on a telephone and
on paper, of a size known before they load, and the same bytes again from the
same figures.
"""

import base64
import dataclasses
import io
import re
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

WIDTH = 4.6  # inches of 96 pixels: nearly as wide as a telephone
NARROW = 1.8  # two fit beside each other on a telephone
_DENSITY = 2
_COLORS = 256

# A decorator of functions that draw.
styled = matplotlib.rc_context(
    {
        "font.size": 9,
        # Names of classes are not formulas.
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
    """A rendered picture.

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
    def file(self) -> str:
        """Path relative to the page."""
        return f"pictures/{self.name}.png"

    @property
    def data_uri(self) -> str:
        """The PNG as an address, so that a page needs no other file."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


def canvas(
    width: float = WIDTH, height: float = 3.0, **subplots: Any
) -> tuple[Figure, Any]:
    """A figure and its axes, apart from pyplot and its global state.

    Args:
        width: Inches.
        height: Inches.
        **subplots: As `Figure.subplots` takes them.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**subplots)


def picture(figure: Figure, name: str, alt: str) -> Picture:
    """Renders a figure.

    Args:
        figure: Matplotlib's.
        name: Of the file; what a file name may not hold becomes "_", since a
            loss may be called "package.module:function".
        alt: What is seen on it.
    """
    figure.set_dpi(96 * _DENSITY)
    drawing = FigureCanvasAgg(figure)
    drawing.draw()
    image = Image.fromarray(np.asarray(drawing.buffer_rgba())).convert("RGB")
    packed = io.BytesIO()
    # A palette takes a third of the bytes.
    image = image.quantize(_COLORS)
    image.save(packed, format="PNG", optimize=True)
    width, height = (-(-side // _DENSITY) for side in image.size)
    file_name = re.sub(r"\W+", "_", name)
    return Picture(file_name, alt, packed.getvalue(), width, height)


def label_epochs(axis: Axes) -> None:
    """Labels the x axis as epochs, with whole numbers."""
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def aspect(image: np.ndarray) -> float:
    """Height over width of (H, W, ...), within what a page can show."""
    return float(np.clip(image.shape[0] / image.shape[1], 0.25, 2.5))


def show_image(axis: Axes, image: np.ndarray) -> None:
    """Draws an image (H, W, channels): in color if there are 3 channels."""
    if image.ndim == 3 and image.shape[-1] != 3:
        image = image[..., 0]
    # Bytes are shown as they are, anything else from its least to its
    # greatest value.
    if image.ndim == 3 and image.dtype != np.uint8:
        spread = np.ptp(image) or 1
        image = (image - image.min()) / spread
    axis.imshow(image, cmap="gray", interpolation="nearest")
