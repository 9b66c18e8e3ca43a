"""The pages as a browser has them; skipped where there is no Chromium."""

import html
import json
import shutil
import subprocess

import pytest

from kd_tf.reporting.comparison import Run, write_comparison
from tests import hand_made

CHROMIUM = next(
    filter(
        None,
        map(
            shutil.which,
            ("chromium", "chromium-browser", "google-chrome", "chrome"),
        ),
    ),
    None,
)
# The page stands in a frame, for a window of its own is never so narrow; it
# has no scripts and allows none, so what holds the frame looks into it.
PROBE = """<!DOCTYPE html><body style="margin:0">
<iframe id="frame" style="border:0;width:{width}px;height:900px"
srcdoc="{page}"></iframe><pre id="found"></pre>
<script>
frame.onload = () => {{
  const inner = frame.contentDocument, view = frame.contentWindow;
  const images = [...inner.images];
  found.textContent = JSON.stringify({{
    width: view.innerWidth,
    scrolls: inner.scrollingElement.scrollWidth,
    wide: [...inner.querySelectorAll('main > *, section > *')]
      .filter(e => e.getBoundingClientRect().right > view.innerWidth + 1)
      .map(e => e.outerHTML.slice(0, 80)),
    images: images.map(i => [i.naturalWidth, i.width, i.height,
      +i.getAttribute('width'), +i.getAttribute('height'), i.alt]),
    dead: [...inner.querySelectorAll('nav a')]
      .map(a => a.getAttribute('href')).filter(h => !inner.querySelector(h)),
    fetched: view.performance.getEntriesByType('resource').map(r => r.name),
    ink: view.getComputedStyle(inner.body).color,
    paper: view.getComputedStyle(inner.body).backgroundColor,
  }});
}};
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{kind: page}, and that of a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    pages = {}
    for kind in ("masks", "recordings", "values"):
        run = hand_made.finished(kind, folder / kind)
        pages[kind] = run / "report.html"
    results = json.loads((folder / "masks" / "report.json").read_text())
    runs = [
        Run(label, results, str(folder / "masks" / "verification"))
        for label in ("first", "a-second-run-with-a-long-name_" * 3)
    ]
    differences = {"data.path": ["a/b", "/".join(["folder"] * 30)]}
    write_comparison(runs, differences, folder)
    return {**pages, "comparison": folder / "compare.html"}


def browse(page, width, *options):
    """What a browser finds in a page, and what it complains of."""
    text = page.read_text(encoding="utf-8")
    probe = page.parent / f"probe_{page.stem}_{width}.html"
    probe.write_text(
        PROBE.format(width=width, page=html.escape(text)), encoding="utf-8"
    )
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1600,1000",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--dump-dom",
            *options,
            probe.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    _, _, found = done.stdout.partition('<pre id="found">')
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found.partition("</pre>")[0])), said


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize(
    "kind", ["masks", "recordings", "values", "comparison"]
)
def test_page_fits_and_is_whole(pages, kind, width):
    found, said = browse(pages[kind], width)
    assert said == []
    assert found["fetched"] == []
    assert found["dead"] == []
    assert found["width"] == width
    assert found["scrolls"] <= width
    assert found["wide"] == []
    assert found["images"]
    for loaded, across, down, width_of, height_of, alt in found["images"]:
        assert loaded == pytest.approx(2 * width_of, abs=1)
        assert across <= width
        # Pages do not jump while they load: room is kept in proportion.
        assert across / down == pytest.approx(width_of / height_of, rel=0.02)
        assert len(alt) > 20


@pytest.mark.parametrize(("preferred", "is_dark"), [(0, True), (1, False)])
def test_page_follows_the_dark(pages, preferred, is_dark):
    found, _ = browse(
        pages["masks"],
        400,
        f"--blink-settings=preferredColorScheme={preferred}",
    )
    ink, paper = (
        sum(map(int, found[key][4:-1].split(","))) for key in ("ink", "paper")
    )
    assert (ink > paper) == is_dark


def test_page_is_printed_on_paper_as_it_is(pages, tmp_path):
    target = tmp_path / "page.pdf"
    subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--print-to-pdf={target}",
            pages["masks"].as_uri(),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert target.read_bytes().startswith(b"%PDF")


def test_a_page_that_asks_for_more_is_found_out(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<main><p style='width:2000px'>wide"
        "<img src='https://example.invalid/x.png'><script>alert()</script>"
    )
    found, said = browse(page, 400)
    # The image and the script.
    assert len(said) == 2
    assert found["scrolls"] > 400
    assert found["wide"]
    assert found["images"][0][0] == 0
