"""A real browser without a window, for pages that must look right."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zlib
from collections import Counter
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path

import pytest

from tests.support.environments import missing

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip
CSP = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
# Visible defects: a page that scrolls sideways, texts that are cut off or overlap, numbers on two lines, bars
# without a size.
MEASURE = """<script>
const box = e => e.getBoundingClientRect();
const seen = e => box(e).width > 0 && box(e).height > 0;
const lines = e => {
  const range = document.createRange(); range.selectNodeContents(e); return range.getClientRects().length; };
const all = s => [...document.querySelectorAll(s)].filter(seen);
const ticks = all('svg text[text-anchor=middle]').map(box);
const hits = ticks.filter((a, i) => ticks.slice(i + 1).some(b =>
  a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1));
parent.document.documentElement.dataset.measured = JSON.stringify({
  inner: innerWidth, page: document.documentElement.scrollWidth,
  cut: all('.value, td, .row span').filter(e => e.scrollWidth > e.clientWidth + 1
    && getComputedStyle(e).display !== 'inline').map(e => e.textContent),
  outside: all('main *').filter(e => box(e).right > innerWidth + 1).map(e => e.textContent.trim()),
  broken: all('td').filter(e => /^[\\d.,]+$/.test(e.textContent) && !e.childElementCount && lines(e) > 1)
    .map(e => e.textContent),
  hits: hits.length, bars: all('svg rect').length, charts: all('svg').length,
  font: Math.min(...all('svg text').map(e => box(e).height)),
});
</script></body>"""


@dataclass(frozen=True)
class Browser:
    """Opens files and addresses in new profiles.

    Attributes:
        program: The browser.
        folder: For profiles and pictures.
    """

    program: str
    folder: Path

    def picture(self, page: Path, width: int, height: int) -> Path:
        """A picture of the top of a page."""
        path = self.folder / f"{page.stem}-{width}.png"
        self._run(page.as_uri(), f"--window-size={width},{height}", f"--screenshot={path}")
        return path

    def visit(self, url: str) -> None:
        """Open a page and wait until it is loaded."""
        self._run(url, "--dump-dom")

    def dump(self, url: str) -> str:
        """The page at an address after its scripts have run."""
        return self._run(url, "--dump-dom", "--virtual-time-budget=600000")

    def measure(self, page: Path, width: int) -> str:
        """The result of ``MEASURE`` as JSON.

        A window cannot be as narrow as a phone, so a copy of the page with the script is shown in a
        narrow frame.
        """
        text = CSP.sub("", page.read_text("utf-8")).replace("</body>", MEASURE)
        frame = (
            f'<iframe style="width: {width}px; height: 900px; border: 0" srcdoc="{escape(text)}">'
        )
        around = self.folder / f"measured-{width}.html"
        around.write_text(f'<!DOCTYPE html><meta charset="utf-8">{frame}', "utf-8")
        found = re.search('data-measured="([^"]*)"', self._run(around.as_uri(), "--dump-dom"))
        assert found, "the browser did not run the script"
        return unescape(found[1])

    def _run(self, url: str, *arguments: str) -> str:
        profile = self.folder / f"profile-{len(list(self.folder.iterdir()))}"
        command = [
            self.program, *FLAGS, f"--user-data-dir={profile}", *arguments, url,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
        return done.stdout


def png_size(path: Path) -> tuple[int, int]:
    """Width and height, from the header."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


def colours(path: Path) -> Counter[str]:
    """Number of pixels in a picture by colour, such as ``#ffffff``."""
    width, height = png_size(path)
    depth, kind = path.read_bytes()[24:26]
    assert depth == 8
    size = {2: 3, 6: 4}[kind]  # RGB and RGBA
    packed, rest = b"", path.read_bytes()[8:]
    while rest:
        length, name = struct.unpack(">I4s", rest[:8])
        packed += rest[8 : 8 + length] if name == b"IDAT" else b""
        rest = rest[12 + length :]
    data, stride = zlib.decompress(packed), width * size
    found: Counter[str] = Counter()
    above = bytearray(stride)
    for y in range(height):
        start = y * (stride + 1)
        above = unfilter(data[start], bytearray(data[start + 1 : start + 1 + stride]), above, size)
        found.update(above[x : x + 3].hex() for x in range(0, stride, size))
    return Counter({f"#{colour}": count for colour, count in found.items()})


def unfilter(kind: int, line: bytearray, above: bytearray, size: int) -> bytearray:
    """A line of a PNG as it was before its filter."""
    for x in range(len(line)):
        left, up = (line[x - size] if x >= size else 0), above[x]
        corner = above[x - size] if x >= size else 0
        paeth = min((left, up, corner), key=lambda p: abs(left + up - corner - p))
        line[x] = (line[x] + (0, left, up, (left + up) // 2, paeth)[kind]) & 255
    return line


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing("there is no chromium: `make packages` installs it where root and apt-get are")
    folder = tmp_path / "browser"
    folder.mkdir()
    return Browser(program, folder)
