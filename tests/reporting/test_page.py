"""The pages as a browser has them; skipped where there is no Chromium."""

import html
import json
import shutil
import subprocess

import pytest

from kd_tf.reporting.comparison import FinishedRun, write_comparison
from tests.reporting import hand_made

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
HEADLESS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    # Nothing of the browser's own on the network.
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The page stands in a frame, for a window of its own is never so narrow; it
# has no scripts and allows none, so what holds the frame looks into it.
PROBE = """<!DOCTYPE html><body style="margin:0">
<iframe id="frame" style="border:0;width:{width}px;height:900px"
srcdoc="{page}"></iframe><pre id="measured"></pre>
<script>
frame.onload = () => {{
  const inner = frame.contentDocument, view = frame.contentWindow;
  const images = [...inner.images];
  measured.textContent = JSON.stringify({{
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
    results = hand_made.read(folder / "masks")
    runs = [
        FinishedRun(label, results, str(folder / "masks" / "verification"))
        for label in ("first", "a-second-run-with-a-long-name_" * 3)
    ]
    differences = {"data.path": ["a/b", "/".join(["folder"] * 30)]}
    write_comparison(runs, differences, folder)
    return {**pages, "comparison": folder / "compare.html"}


def browse(page, width, *options):
    """What a browser measures in a page, and its complaints."""
    text = page.read_text(encoding="utf-8")
    probe = page.parent / f"probe_{page.stem}_{width}.html"
    probe.write_text(
        PROBE.format(width=width, page=html.escape(text)), encoding="utf-8"
    )
    done = subprocess.run(
        [
            CHROMIUM,
            *HEADLESS,
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
    _, _, measured = done.stdout.partition('<pre id="measured">')
    complaints = [s for s in done.stderr.splitlines() if "CONSOLE" in s]
    text = html.unescape(measured.partition("</pre>")[0])
    return json.loads(text), complaints


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize(
    "kind", ["masks", "recordings", "values", "comparison"]
)
def test_page_fits_and_is_whole(pages, kind, width):
    measured, complaints = browse(pages[kind], width)
    assert complaints == []
    assert measured["fetched"] == []
    assert measured["dead"] == []
    assert measured["width"] == width
    assert measured["scrolls"] <= width
    assert measured["wide"] == []
    assert measured["images"]
    for loaded, across, down, width_of, height_of, alt in measured["images"]:
        assert loaded == pytest.approx(2 * width_of, abs=1)
        assert across <= width
        # Pages do not jump while they load: room is kept in proportion.
        assert across / down == pytest.approx(width_of / height_of, rel=0.02)
        assert len(alt) > 20


@pytest.mark.parametrize(("preferred", "is_dark"), [(0, True), (1, False)])
def test_page_follows_the_dark(pages, preferred, is_dark):
    measured, _ = browse(
        pages["masks"],
        400,
        f"--blink-settings=preferredColorScheme={preferred}",
    )
    ink, paper = (
        sum(map(int, measured[key][4:-1].split(",")))
        for key in ("ink", "paper")
    )
    assert (ink > paper) == is_dark


def test_page_is_printed_on_paper_as_it_is(pages, tmp_path):
    target = tmp_path / "page.pdf"
    subprocess.run(
        [
            CHROMIUM,
            *HEADLESS,
            f"--print-to-pdf={target}",
            pages["masks"].as_uri(),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert target.read_bytes().startswith(b"%PDF")


def test_page_that_asks_for_more_is_noticed(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<main><p style='width:2000px'>wide"
        "<img src='https://example.invalid/x.png'><script>alert()</script>"
    )
    measured, complaints = browse(page, 400)
    # The image and the script.
    assert len(complaints) == 2
    assert measured["scrolls"] > 400
    assert measured["wide"]
    assert measured["images"][0][0] == 0
