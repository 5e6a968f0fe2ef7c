"""Charts as geometry: rectangles and labels that the template writes as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .language import ENGLISH

TOP, BOTTOM, LEFT, RIGHT = 14.0, 38.0, 46.0, 4.0
LINES = 4
STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Bar:
    """A rectangle; ``series`` chooses its colour, ``title`` is its tooltip.

    Attributes:
        faint: The value is not final.
    """

    x: float
    y: float
    width: float
    height: float
    series: int
    title: str
    faint: bool = False


@dataclass(frozen=True)
class Label:
    """A text and its position."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A column chart.

    Attributes:
        width: Width of the drawing; the page scales it.
        height: Height of the drawing.
        base: Vertical position of zero.
        bars: The segments of all columns, from the bottom up.
        lines: Lines and numbers of the scale.
        ticks: Labels below the columns.
    """

    width: float
    height: float
    base: float
    bars: tuple[Bar, ...]
    lines: tuple[Label, ...]
    ticks: tuple[Label, ...]

    @property
    def left(self) -> float:
        """Left edge of the columns."""
        return LEFT

    @property
    def right(self) -> float:
        """Right edge of the columns."""
        return self.width - RIGHT


@dataclass(frozen=True)
class Column:
    """One column: a value and a tooltip per series, and two lines of text below it."""

    label: str
    below: str
    values: Sequence[Decimal]
    titles: Sequence[str]
    faint: bool = False


def columns_chart(
    columns: Sequence[Column],
    *,
    width: float,
    height: float,
    short: Callable[[float], str] = ENGLISH.short,
) -> Chart:
    """A chart of stacked columns; negative values are drawn below the zero line.

    Args:
        columns: Columns from left to right.
        width: Width of the drawing.
        height: Height of the drawing.
        short: Formats the numbers of the scale.
    """
    highest = max((sum(v for v in c.values if v > 0) for c in columns), default=Decimal(0))
    lowest = min((sum(v for v in c.values if v < 0) for c in columns), default=Decimal(0))
    step = nice_step(float(highest - lowest) / LINES)
    top, bottom = _ceil(float(highest), step) or step, -_ceil(-float(lowest), step)
    scale = (height - TOP - BOTTOM) / (top - bottom)
    base = TOP + top * scale
    slot = (width - LEFT - RIGHT) / max(len(columns), 1)
    bars, ticks = [], []
    for index, column in enumerate(columns):
        x = LEFT + slot * index
        bars += _stack(column, x + slot * 0.14, slot * 0.72, base, scale)
        ticks.append(Label(x + slot / 2, height - BOTTOM + 16, column.label))
        if column.below:
            ticks.append(Label(x + slot / 2, height - BOTTOM + 32, column.below))
    count = round((top - bottom) / step)
    lines = tuple(
        Label(LEFT - 6, base - (bottom + step * i) * scale, short(bottom + step * i))
        for i in range(count + 1)
    )
    return Chart(width, height, base, tuple(bars), lines, tuple(ticks))


def _stack(column: Column, x: float, width: float, base: float, scale: float) -> list[Bar]:
    above = below = base
    bars = []
    for series, (value, title) in enumerate(zip(column.values, column.titles, strict=True)):
        size = abs(float(value)) * scale
        if not size:
            continue
        if value > 0:
            above -= size
            bars.append(Bar(x, above, width, size, series, title, column.faint))
        else:
            bars.append(Bar(x, below, width, size, series, title, column.faint))
            below += size
    return bars


def nice_step(rough: float) -> float:
    """``rough`` rounded up to 1, 2, 2.5 or 5 times a power of ten."""
    if rough <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= rough:
        power *= 10
    while power > rough:
        power /= 10
    return next(power * step for step in STEPS if power * step >= rough * (1 - 1e-9))


def _ceil(value: float, step: float) -> float:
    steps = value / step
    whole = int(steps)
    return step * (whole + (steps - whole > 1e-9))  # noqa: PLR2004 (tolerance for floats)


@dataclass(frozen=True)
class Share:
    """A segment of a bar: start and width in percent, colour and text."""

    start: float
    width: float
    series: int
    title: str


def shares(values: Sequence[Decimal], titles: Sequence[str]) -> list[Share]:
    """Segments of one bar; credits are not drawn, because the table next to it shows them."""
    total = sum((value for value in values if value > 0), Decimal(0))
    found, start = [], 0.0
    for series, (value, title) in enumerate(zip(values, titles, strict=True)):
        if value > 0:
            width = float(value / total) * 100
            found.append(Share(start, width, series, title))
            start += width
    return found
