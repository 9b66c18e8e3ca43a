"""Templates filled, and pages written with their pictures beside them."""

import importlib.resources
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from kd_tf.reporting.layout import Section

Folder = str | os.PathLike[str]


def render(template: str, view: Mapping[str, Any]) -> str:
    """Fills a template of this folder.

    Args:
        template: Its file name; HTML is escaped.
        view: What the template's variables stand for.
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read_template),
        autoescape=template.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(view)


def write_pages(
    pages: Mapping[str, str], sections: Sequence[Section], folder: Folder
) -> list[str]:
    """Writes pages, and the pictures of their sections beside them.

    Args:
        pages: {file name: text}.
        sections: All sections of the pages.
        folder: Existing folder.

    Returns:
        The names of the files, relative to the folder.
    """
    pictures = [p for section in sections for p in section.pictures]
    if pictures:
        os.makedirs(os.path.join(folder, "pictures"), exist_ok=True)
    for picture in pictures:
        with open(os.path.join(folder, picture.file), "wb") as file:
            file.write(picture.png)
    for name, text in pages.items():
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as page:
            page.write(text)
    return [*pages, *(picture.file for picture in pictures)]


def _read_template(name: str) -> str:
    return (
        importlib.resources.files("kd_tf.reporting")
        .joinpath(name)
        .read_text(encoding="utf-8")
    )
