"""The built documentation: no warnings, no broken link, and pages that fit a desktop and a phone."""

from __future__ import annotations

import functools
import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.support.browser import Browser

pytestmark = pytest.mark.xdist_group("site")  # one build for all

ROOT = Path(__file__).parents[2]
SITE = ROOT / ".cache" / "site"
WIDTHS = (390, 1280)
# Loads each page in a frame and lists those that scroll sideways or break a word in a table.
MEASURE = """<!DOCTYPE html><meta charset="utf-8"><script>
const word = /[\\w.:()*'"=@+]+/g;
const lines = range => new Set([...range.getClientRects()].map(box => Math.round(box.top))).size;
function broken(page) {
  const found = [];
  for (const cell of page.querySelectorAll("td, th")) {
    const texts = page.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    for (let text; (text = texts.nextNode());)
      for (const match of text.data.matchAll(word)) {
        const range = page.createRange();
        range.setStart(text, match.index);
        range.setEnd(text, match.index + match[0].length);
        if (lines(range) > 1) found.push(match[0]);
      }
  }
  return found;
}
async function load(path, width) {
  const frame = document.createElement("iframe");
  frame.style = `width: ${width}px; height: 900px; border: 0`;
  frame.src = path;
  document.body.append(frame);
  await new Promise(done => (frame.onload = done));
  const page = frame.contentDocument, wide = page.documentElement.scrollWidth;
  const result = { path, width, wide, broken: broken(page) };
  frame.remove();
  return result;
}
onload = async () => {
  const all = [];
  for (const width of WIDTHS) for (const path of PATHS) all.push(await load(path, width));
  document.documentElement.dataset.measured = JSON.stringify(all);
};
</script><body></body>"""


@pytest.fixture(scope="module")
def site() -> Path:
    """The pages that `make docs` builds; a warning makes it fail."""
    done = subprocess.run(
        ["make", "docs"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return SITE


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Log nothing."""


def pages(site: Path) -> list[Path]:
    return [page for page in site.rglob("*.html") if page.name != "404.html"]


def path_of(site: Path, page: Path) -> str:
    return f"/{page.relative_to(site).as_posix().removesuffix('index.html')}"


def test_every_page_is_built(site: Path) -> None:
    names = {path_of(site, page).strip("/") or "index" for page in pages(site)}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= names


def test_links_lead_to_pages_and_headings_of_the_site(site: Path) -> None:
    broken = []
    for page in pages(site):
        here = path_of(site, page)
        for link in re.findall(r'(?:href|src)="([^"]+)"', page.read_text("utf-8")):
            parts = urlsplit(urljoin(f"http://site{here}", unescape(link)))
            if parts.hostname != "site" or parts.scheme != "http":
                continue
            target = site / unquote(parts.path).strip("/")
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (
                parts.fragment
                and f'id="{unquote(parts.fragment)}"' not in target.read_text("utf-8")
            ):
                broken.append((here, link))
    assert broken == []


def test_no_page_scrolls_sideways_or_breaks_words_in_tables(
    site: Path, address: str, browser: Browser
) -> None:
    paths = sorted(path_of(site, page) for page in pages(site))
    script = MEASURE.replace("WIDTHS", json.dumps(WIDTHS)).replace("PATHS", json.dumps(paths))
    measure = site / "measure.html"
    measure.write_text(script, "utf-8")
    try:
        shown = browser.dump(f"{address}measure.html")
    finally:
        measure.unlink()
    found = re.search('data-measured="([^"]*)"', shown)
    assert found, "the browser did not run the script"
    measured = json.loads(unescape(found[1]))
    assert len(measured) == len(paths) * len(WIDTHS)
    assert [one for one in measured if one["wide"] > one["width"] or one["broken"]] == []
