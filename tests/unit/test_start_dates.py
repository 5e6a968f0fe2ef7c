"""Dates of a window, as the digits that Exact shows: those of the Dutch wall clock."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from exact_source.errors import ConfigurationError
from exact_source.options import parse_start_date


def digits(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2024-01-31", "2024-01-31"),
        (date(2024, 1, 31), "2024-01-31"),
        ("2024-01-31T10:30", "2024-01-31T10:30"),
        ("2024-03-31T03:30", "2024-03-31T03:30"),  # the hour after the one that does not exist
        ("2024-10-27T02:30", "2024-10-27T02:30"),  # comes twice
        ("2024-01-31T10:30:00Z", "2024-01-31T11:30"),
        (datetime(2024, 7, 1, tzinfo=UTC), "2024-07-01T02:00"),
    ],
)
def test_dates_are_digits_of_the_dutch_clock(given: str | date, shown: str) -> None:
    assert parse_start_date(given) == digits(shown)


@pytest.mark.parametrize("given", ["soon", "", "12:00", "P1D", "2024-01-31/2024-02-01"])
def test_what_is_no_date_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="start_date"):
        parse_start_date(given)
