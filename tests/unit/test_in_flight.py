"""A process ends after its token requests, and begins none once it ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from exact_source.auth.in_flight import Spending


class Blocked(Exception):  # noqa: N818 (not an error: the test would wait forever here)
    """The caller would wait."""


@pytest.fixture
def spending(monkeypatch: pytest.MonkeyPatch) -> Spending:
    """A counter that raises where it would wait."""
    found = Spending()

    def wait_for(is_met: Callable[[], bool]) -> bool:
        if not is_met():
            raise Blocked
        return True

    monkeypatch.setattr(found._changed, "wait_for", wait_for)
    return found


def test_the_end_waits_for_a_request_and_not_for_one_that_has_ended(spending: Spending) -> None:
    waits: list[str] = []
    with spending.one(), pytest.raises(Blocked):
        spending.close(lambda: waits.append("under way"))
    spending.close(lambda: waits.append("ended"))

    assert waits == ["under way"]


def test_no_request_begins_after_the_end(spending: Spending) -> None:
    spending.close(lambda: None)
    with pytest.raises(Blocked), spending.one():
        pytest.fail("a request began")
