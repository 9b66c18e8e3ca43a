"""A run as one self-contained page, the same in Markdown, and as JSON."""

import json

from kd_tf.reporting import tables
from kd_tf.reporting.headline import headline
from kd_tf.reporting.page import Folder, render, write_pages
from kd_tf.reporting.rows import result_rows
from kd_tf.reporting.sections import report_sections
from kd_tf.results import Results, to_tree
from kd_tf.tasks import get_task


def write_report(
    results: Results, verification: Folder | None, folder: Folder
) -> list[str]:
    """Writes `report.html`, `report.md`, `report.json`, `table.md`, pictures.

    `report.json` is the results, as `kd_tf.results.from_json` reads them, and
    `rows`: a dict for each model and file, for scripts.

    Args:
        results: A finished run.
        verification: Folder with `curves.npz` and `shown.npz`, or None if
            nothing was verified.
        folder: Existing folder to write into.

    Returns:
        The names of the files, relative to the folder.
    """
    rows = result_rows(results)
    sections = report_sections(results, rows, verification)
    score = get_task(results.data.task).title
    main = tables.main_table(rows, score)
    others = [tables.details_table(rows, score), tables.scores_table(results)]
    view = {
        "results": results,
        "headline": headline(results),
        "tables": [main, *(table for table in others if table)],
        "not_made": {
            results.variant(name).title: reason
            for name, reason in results.not_made.items()
        },
        "sections": sections,
        "jobs": tables.jobs_table(results) if results.seconds else None,
    }
    pages = {
        "report.html": render("report.html", view),
        "report.md": render("report.md", view),
        "report.json": json.dumps({**to_tree(results), "rows": rows}, indent=1),
        "table.md": main.markdown + "\n",
    }
    return write_pages(pages, sections, folder)
