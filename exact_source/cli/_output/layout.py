"""Lays out tables for a width: as lines, or as a block for each row. Values are never shortened."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.text import Text

from .tables import Column

GAP = "  "
NARROWEST = 24  # minimum width of a column of sentences
Cell = Text | str
Row = Sequence[Cell]


def lines(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Text] | None:
    """The table with as many columns as fit; ``None`` if even the necessary ones do not."""
    kept = fitting(columns, rows, width)
    if kept is None:
        return None
    widths = [natural_width(columns, rows, i) for i in kept]
    for position, i in enumerate(kept):
        if columns[i].wraps:
            others = sum(widths) - widths[position] + len(GAP) * (len(kept) - 1)
            widths[position] = min(widths[position], max(NARROWEST, width - others))
    shown = [columns[i] for i in kept]
    head: list[Row] = [[c.name for c in shown]] if any(c.name for c in shown) else []
    body = [[row[i] for i in kept] for row in rows]
    return [
        line
        for position, row in enumerate([*head, *body])
        for line in row_lines(shown, row, widths, style="bold" if position < len(head) else "")
    ]


def fitting(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[int] | None:
    """Positions of the columns that fit side by side; ``None`` if there are none."""
    kept = [i for i in range(len(columns)) if not rows or any(len(row[i]) for row in rows)]

    def needed(i: int) -> int:
        natural = natural_width(columns, rows, i)
        return min(natural, NARROWEST) if columns[i].wraps else natural

    while sum(map(needed, kept)) + len(GAP) * (len(kept) - 1) > width:
        least = max(kept, key=lambda i: columns[i].rank)
        if columns[least].rank == 0:
            return None
        kept.remove(least)
    return kept


def natural_width(columns: Sequence[Column], rows: Sequence[Row], i: int) -> int:
    """Width of a column: that of its longest value, or of its heading."""
    return max(cell_len(columns[i].name), *(cell_len(plain(row[i])) for row in rows), 0)


def row_lines(
    columns: Sequence[Column], row: Row, widths: Sequence[int], *, style: str
) -> Iterator[Text]:
    """A row: one line, or as many as its sentences take."""
    parts = [
        wrapped(cell, size) if column.wraps else [cell]
        for column, cell, size in zip(columns, row, widths, strict=True)
    ]
    for n in range(max(map(len, parts))):
        line = Text(style=style)
        for position, column in enumerate(columns):
            cell = parts[position][n] if n < len(parts[position]) else ""
            space = " " * (widths[position] - cell_len(plain(cell)))
            line.append(GAP if position else "")
            for piece in (space, cell) if column.right else (cell, space):
                line.append(piece)
        line.rstrip()
        yield line


def wrapped(cell: Cell, width: int) -> Sequence[Cell]:
    """A sentence as lines; a long word is not broken."""
    return textwrap.wrap(plain(cell), width, break_long_words=False, break_on_hyphens=False) or [""]


def blocks(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[Text]:
    """A line for each value, with its heading in front, and an empty line between rows."""
    size = max(len(column.name) for column in columns)
    for number, row in enumerate(rows):
        if number:
            yield Text()
        for column, cell in zip(columns, row, strict=True):
            if len(cell):
                yield Text.assemble((f"{column.name:{size}}", "bold"), GAP if size else "", cell)


def plain(cell: Cell) -> str:
    """A value without its colour."""
    return cell if isinstance(cell, str) else cell.plain
