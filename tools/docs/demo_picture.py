"""Draws ``docs/images/demo.svg``: the end of ``exact-source demo`` as a terminal shows it.

python -m tools.docs.demo_picture
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from html import unescape
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "demo.svg"
WIDTH = 108


def main() -> None:
    """Run the demo in a temporary folder and draw its output."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "exact_source", "demo", "--folder", f"{folder}/demo"]
        said = subprocess.run(  # noqa: S603 (this very program)
            command, capture_output=True, text=True, check=True, cwd=folder
        ).stdout
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ exact-source demo", style="bold"))
    for line in shown(said.replace(folder, "/srv/books")):
        text = Text(line)
        text.highlight_regex(r"complete$", "green")
        text.highlight_regex(r"^\d\. .*", "bold")
        console.print(text)
    console.save_svg(str(PICTURE), title="exact-source demo")


def shown(said: str) -> list[str]:
    """The lines of the demo's output before the next steps, with long tables cut."""
    lines = [
        line[:WIDTH].rstrip()
        for line in said.split("What next", maxsplit=1)[0].rstrip().splitlines()
    ]
    inside = [_is_inside(lines, n) for n in range(len(lines))]
    return [
        "..." if cut else line
        for n, (line, cut) in enumerate(zip(lines, inside, strict=True))
        if not (cut and inside[n - 1])
    ]


def drawn(svg: str) -> list[str]:
    """The lines of a picture after the one with the command."""
    lines: dict[int, str] = {}
    for number, text in re.findall(r'<text [^>]*-line-(\d+)\)">([^<]*)</text>', svg):
        lines[int(number)] = lines.get(int(number), "") + unescape(text).replace("\xa0", " ")
    return [line.rstrip() for _, line in sorted(lines.items())][1:]


def _is_inside(lines: list[str], number: int) -> bool:
    """Whether a line is in the middle of a long table."""
    rows = [bool(re.match(r"\d{7} ", line)) for line in lines]
    return all(rows[n] if 0 <= n < len(rows) else False for n in range(number - 3, number + 4))


if __name__ == "__main__":
    main()
