"""The financial periods of the awkward companies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

JULY, WEEKS, PERIODS_OF_WEEKS = 7, 4, 13


class Period(NamedTuple):
    """A financial period, both days included."""

    year: int
    number: int
    start: datetime
    end: datetime


def periods(calendar: str, opened: datetime, until: datetime) -> list[Period]:
    """The periods from the opening of a company to the end of the year that holds ``until``."""
    made = (
        _four_weeks(opened, until) if calendar == "fourweeks" else _months(calendar, opened, until)
    )
    return list(made)


def _months(calendar: str, opened: datetime, until: datetime) -> Iterator[Period]:
    """Months; a company's first year may be short, and its numbers begin with 1."""
    start, number, year = opened, 0, None
    while True:
        belongs = start.year + (calendar == "july" and start.month >= JULY)
        if belongs != year:
            if year is not None and start > until:
                return
            number, year = 0, belongs
        number += 1
        following = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
        yield Period(belongs, number, start, following - timedelta(days=1))
        start = following


def _four_weeks(opened: datetime, until: datetime) -> Iterator[Period]:
    for year in range(opened.year, until.year + 1):
        first = datetime(year, 1, 1)  # noqa: DTZ001 - wall clock, as all dates of the sandbox
        for number in range(1, PERIODS_OF_WEEKS + 1):
            start = first + timedelta(weeks=WEEKS * (number - 1))
            end = start + timedelta(weeks=WEEKS, days=-1)
            if number == PERIODS_OF_WEEKS:
                end = first.replace(month=12, day=31)
            yield Period(year, number, start, end)
