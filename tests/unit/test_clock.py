"""The wall clock of Exact Online."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from exact_source.clock import latest_digits

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("at", "hours"),
    [
        ("2026-01-15T12:00", 1),
        ("2026-07-15T12:00", 2),
        ("2026-10-25T00:59", 2),  # 02:59, for the first time
        ("2026-10-25T01:30", 2),  # 02:30 again; 02:59 was shown before
        ("2026-10-25T02:01", 1),
        ("2026-03-29T00:59", 1),
        ("2026-03-29T01:30", 2),
    ],
)
def test_no_earlier_moment_shows_later_digits(at: str, hours: int) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
    assert latest_digits(moment) == moment * 1000 + hours * HOUR_MS
