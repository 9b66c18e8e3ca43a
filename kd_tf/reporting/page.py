"""One self-contained page, the same in Markdown, and the data as JSON."""

import importlib.resources
import json
import os

import jinja2

from kd_tf.reporting import tables
from kd_tf.reporting.headline import headline
from kd_tf.reporting.sections import sections
from kd_tf.tasks import TASKS


def write_report(results, verification, folder):
    """Writes `report.html`, `report.md`, `report.json`, `table.md`, pictures.

    Args:
        results: Dict with `name`, `seed`, `environment`, `config` (text) and
            `stages` ({stage: what it found}; stages that were off absent).
            It may have `seconds` ({stage: how long it took}) and `schedules`
            ({quantity: as `schedule_picture` takes them}).
        verification: Folder with `curves.npz` and `shown.npz`, or None if
            nothing was verified.
        folder: Existing folder to write into.

    Returns:
        The names of the files, relative to the folder.
    """
    stages = results["stages"]
    rows = tables.result_rows(stages)
    found = sections(results, rows, verification)
    view = {
        "seconds": {},
        **results,
        "rows": rows,
        "score": TASKS[stages["prepare"]["task"]].title,
        "headline": headline(stages, rows),
        "missed": stages.get("verify", {}).get("missed"),
        "limits": stages.get("verify", {}).get("limits"),
        "not_made": {
            **stages["export"]["not_converted"],
            **stages.get("quantize", {}).get("not_made", {}),
        },
        "sections": found,
        "tables": tables,
    }
    main_table = tables.main_table(rows, view["score"])
    pages = {
        "report.html": render("page.html", view),
        "report.md": render("page.md", view),
        "report.json": json.dumps({**results, "rows": rows}, indent=1),
        "table.md": main_table + "\n",
    }
    return write_files(pages, found, folder)


def render(template, view):
    """Fills a template of this folder with a dict."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=template.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(view)


def write_files(pages, sections, folder):
    """Writes pages, and the pictures of their sections beside them.

    Args:
        pages: {name: text}.
        sections: List of `kd_tf.reporting.layout.Section`.
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
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    return [*pages, *(picture.file for picture in pictures)]


def _template(name):
    return (
        importlib.resources.files("kd_tf.reporting")
        .joinpath(name)
        .read_text(encoding="utf-8")
    )
