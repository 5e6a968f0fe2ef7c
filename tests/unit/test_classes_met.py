"""A night fails if its random histories never meet a class of events."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.classes_met import Classes, report_classes


def shard(number: int, *, passed: bool = True, **tally: int) -> Any:
    """The report of one of two shards."""
    properties: list[tuple[str, Any]] = []
    report_classes(
        lambda name, value: properties.append((name, value)),
        ["drop", "restore"],
        Counter(tally),
        shards=2,
    )
    return SimpleNamespace(
        when="call", passed=passed, nodeid=f"a.py::test[{number}]", user_properties=properties
    )


@pytest.mark.parametrize(
    ("second", "missed"),
    [
        (shard(1, restore=1), []),
        (shard(1, drop=2), ["a.py::test: restore"]),
        (shard(1, drop=2, passed=False), []),  # the session fails anyway
    ],
)
def test_a_class_that_no_shard_met_fails_the_session(second: Any, missed: list[str]) -> None:
    classes, session = Classes(), SimpleNamespace(exitstatus=pytest.ExitCode.OK)
    for report in (shard(0, drop=1), second):
        classes.pytest_runtest_logreport(report)
    classes.pytest_sessionfinish(session)  # type: ignore[arg-type]

    assert classes.missed() == missed
    assert (session.exitstatus == pytest.ExitCode.TESTS_FAILED) == bool(missed)
