"""Results on stdout: one JSON document, or tables and lines."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

# A pipe has no width, and lines that are broken at 80 characters are useless for grep.
PIPE_WIDTH = 10_000


def print_json(document: Any) -> None:
    """One JSON document."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def make_console(*, stderr: bool = False) -> Console:
    """A console that wraps on terminals only; rich itself respects NO_COLOR."""
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def print_line(text: str) -> None:
    """Print a sentence on stdout, wrapped between words on a terminal."""
    for line in wrapped(text, make_console().width):
        typer.echo(line)


def wrapped(text: str, width: int) -> Iterator[str]:
    """The lines of a text, none longer than the width unless a word is, such as an address."""
    for line in text.splitlines() or [""]:
        yield from textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [
            ""
        ]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Heading.
        right: Whether it contains numbers, which are right-aligned.
        rank: If the terminal is too narrow, the column of the highest rank is left out first; a
            column of rank 0 is always shown.
        wraps: Whether it contains sentences, which may continue on the next line.
    """

    name: str
    right: bool = False
    rank: int = 0
    wraps: bool = False


def print_table(
    console: Console, columns: Sequence[Column | str], rows: Iterable[Sequence[object]]
) -> int:
    """Print a plain table without shortening values.

    If the terminal is too narrow, columns are left out by rank; if that is not enough, each row becomes a
    block with a line for each value. Columns without values are not shown.

    Args:
        console: Console whose width is used.
        columns: Headings, or columns with a rank; no heading is shown if all are empty.
        rows: Values; ``None`` is shown as nothing, and markup in a value is not interpreted.

    Returns:
        The number of lines.
    """
    from .layout import blocks, lines

    heads = [c if isinstance(c, Column) else Column(c) for c in columns]
    cells = [[cell_of(value) for value in row] for row in rows]
    table = lines(heads, cells, console.width)
    shown = list(table if table is not None else blocks(heads, cells))
    for line in shown:
        console.print(line, soft_wrap=True)
    return len(shown)


def cell_of(value: object) -> Any:
    """A coloured text unchanged, any other value as text."""
    return value if hasattr(value, "plain") else show(value)


def show(value: object) -> str:
    """A value in a table: numbers with separators, nothing for ``None``, no control characters."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, int):
        return f"{value:,}"
    return "".join(c if c.isprintable() else " " for c in str(value))


def styled(text: str, style: str) -> Any:
    """A coloured text."""
    from rich.text import Text

    return Text(text, style=style)


def iso_instant(at: float | None) -> str | None:
    """A time in UTC, to the second."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(text: str) -> float:
    """The inverse of ``iso_instant``."""
    return datetime.fromisoformat(text).timestamp()


def format_cursor(value: int | None, *, is_version: bool) -> str | int | None:
    """A row version as a number, or a ``Modified`` as the wall-clock time that Exact shows."""
    return value if value is None or is_version else iso_digits(value)


def iso_digits(ms: int) -> str:
    """The wall-clock time that Exact Online shows for ``/Date(ms)/``; it has no zone (API 3.5)."""
    moment = datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds")


def local_clock(at: float) -> str:
    """A time in the local time zone."""
    from ...clock import local_time

    return local_time(at).format("YYYY-MM-DD HH:mm")


def when_allowed(resumes_at: float | None) -> str:
    """The time at which a sync can go on, if it is in the future, as the end of a sentence."""
    if resumes_at is None or resumes_at <= time.time():
        return ""
    return f"; the wait ends at {local_clock(resumes_at)}"


def span(seconds: float) -> str:
    """A duration in its two largest units: ``2 d 3 h``, ``5 min``, ``12 s``."""
    total = max(0, round(seconds))
    parts: list[tuple[int, str]] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, total = divmod(total, size)
        if count or parts:
            parts.append((count, unit))
    found = [f"{count} {unit}" for count, unit in parts[:2] if count]
    return " ".join(found) or "0 s"
