from __future__ import annotations

from email.utils import formatdate

import pytest

from exact_source.http_dates import parse_date, parse_retry_after

START = 1_772_000_000.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("Fri, 01 May 2026 12:00:00 GMT", 1_777_636_800.0),
        ("yesterday", None),
        ("", None),
        (None, None),
        ("Fri, 99 May 2026 12:00:00 GMT", None),
        (f"Fri, 01 May {10**20} 12:00:00 GMT", None),
    ],
)
def test_dates_are_read_or_left(header: str | None, seconds: float | None) -> None:
    assert parse_date(header) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        (formatdate(START + 90, usegmt=True), pytest.approx(90, abs=1)),
        (formatdate(START - 90, usegmt=True), 0.0),
        ("86400", 3600.0),
        ("soon", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_is_read_as_a_number_and_as_a_date(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text, START) == seconds
