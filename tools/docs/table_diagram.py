"""Draws the core tables and the references between them as an SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from exact_source.catalogue.descriptions import Reference

# Columns of the picture from left to right; tables that refer to others stand to their right.
LAYOUT = (
    ("contacts", "projects", "warehouses"),
    ("accounts", "items", "gl_accounts"),
    ("sales_orders", "purchase_orders", "sales_invoices", "journals", "vat_codes"),
    ("sales_order_lines", "sales_invoice_lines", "transaction_lines"),
)
WIDTH, GAP_X, GAP_Y, LINE, HEAD, MARGIN = 290, 70, 30, 20, 28, 40
STYLE = """
  .box { fill: #ffffff; stroke: #4a5568; }
  .head { fill: #2b6cb0; }
  .name { fill: #ffffff; font-weight: bold; }
  text { font: 13px sans-serif; fill: #1a202c; }
  .target { fill: #4a5568; text-anchor: end; }
  .reference { fill: none; stroke: #718096; stroke-width: 1.5; }
"""


@dataclass(frozen=True)
class Box:
    """A table in the picture.

    Attributes:
        left: Left edge in pixels.
        top: Upper edge in pixels.
        key: Key column.
        references: Shown references, one for each table that is referred to.
    """

    left: int
    top: int
    key: str
    references: Sequence[Reference]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return HEAD + LINE * (len(self.references) + 1) + 6

    def row(self, number: int) -> float:
        """Middle of a row: 0 is the key, then come the references."""
        return self.top + HEAD + LINE * (number + 0.5) + 3


def draw(references: Mapping[str, Sequence[Reference]], keys: Mapping[str, str]) -> str:
    """The picture.

    Args:
        references: Table -> its references to other tables, the most important first.
        keys: Table -> its key column.
    """
    boxes = place(references, keys)
    width = MARGIN * 2 + len(LAYOUT) * WIDTH + (len(LAYOUT) - 1) * GAP_X
    height = max(box.top + box.height for box in boxes.values()) + MARGIN
    lines = [line for box in boxes.values() for line in _lines(box, boxes)]
    tables = [part for name, box in boxes.items() for part in _table(name, box)]
    title = "The core tables and the references between them"
    size = f'viewBox="0 0 {width} {height}" role="img" aria-label="{title}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{STYLE}</style>'
    ground = f'<rect width="{width}" height="{height}" fill="#f7fafc"/>'
    return "\n".join([head, ground, *lines, *tables, "</svg>", ""])


def place(references: Mapping[str, Sequence[Reference]], keys: Mapping[str, str]) -> dict[str, Box]:
    """Table -> its box."""
    shown = {name for column in LAYOUT for name in column}
    boxes: dict[str, Box] = {}
    for number, column in enumerate(LAYOUT):
        top = MARGIN
        for name in column:
            first = {r.table: r for r in reversed(references[name])}
            own = [r for r in first.values() if r.table in shown - {name}]
            own.sort(key=references[name].index)
            boxes[name] = Box(MARGIN + number * (WIDTH + GAP_X), top, keys[name], own)
            top += boxes[name].height + GAP_Y
    return boxes


def _lines(box: Box, boxes: Mapping[str, Box]) -> Iterator[str]:
    """A line from each reference to the key of the table, if no other table stands between them."""
    for number, reference in enumerate(box.references, 1):
        target = boxes[reference.table]
        if abs(target.left - box.left) > WIDTH + GAP_X:
            continue
        is_left = target.left < box.left
        start = box.left if is_left else box.left + WIDTH
        end = target.left if target.left > box.left else target.left + WIDTH
        bend = 45 if end > start or target.left == box.left else -45
        back = bend if target.left == box.left else -bend
        yield (
            f'<path class="reference" d="M{start} {box.row(number)} C{start + bend} {box.row(number)} '
            f'{end + back} {target.row(0)} {end} {target.row(0)}"/>'
            f'<circle cx="{end}" cy="{target.row(0)}" r="4" fill="#718096"/>'
        )


def _table(name: str, box: Box) -> Iterator[str]:
    left, top = box.left, box.top
    yield f'<rect class="box" x="{left}" y="{top}" width="{WIDTH}" height="{box.height}" rx="4"/>'
    yield f'<rect class="head" x="{left}" y="{top}" width="{WIDTH}" height="{HEAD}" rx="4"/>'
    yield f'<text class="name" x="{left + 10}" y="{top + 19}">{escape(name)}</text>'
    yield f'<text x="{left + 10}" y="{box.row(0) + 5}">{box.key}</text>'
    for number, reference in enumerate(box.references, 1):
        text = escape(reference.column)
        y, right = box.row(number) + 5, left + WIDTH - 10
        yield f'<text x="{left + 10}" y="{y}">{text}</text>'
        yield f'<text class="target" x="{right}" y="{y}">→ {escape(reference.table)}</text>'
