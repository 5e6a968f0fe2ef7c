"""Times are shown in the zone of the computer, although dlt sets pendulum's local zone to UTC."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pendulum
import pytest

from exact_source.cli._output.tables import local_clock
from exact_source.clock import local_time
from exact_source.report.language import LANGUAGES

SUMMER = pendulum.datetime(2026, 7, 1, 22, 30).timestamp()


@pytest.fixture(autouse=True)
def amsterdam(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Amsterdam")
        time.tzset()
        yield
    time.tzset()


def test_a_moment_is_shown_in_the_zone_of_the_computer() -> None:
    assert local_clock(SUMMER) == "2026-07-02 00:30"
    assert local_time(SUMMER).date().isoformat() == "2026-07-02"


def test_the_report_names_the_zone() -> None:
    english = LANGUAGES["en"]
    assert english.moment(datetime.fromtimestamp(SUMMER, UTC)) == "2 Jul 2026 00:30 CEST"
    assert english.began(datetime.fromtimestamp(SUMMER, UTC)) == "2 Jul 00:30"
