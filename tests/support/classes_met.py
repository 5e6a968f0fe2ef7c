"""A pytest plugin: over the shards of a night, random histories meet each class of events.

Each shard misses some classes by chance, and shards run in different processes. Each therefore reports its
counts as a property of its test, and the session fails if the sum over all shards lacks a class.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

PROPERTY = "classes met"
Record = Callable[[str, Any], None]


def report_classes(
    record_property: Record, classes: Iterable[str], tally: Mapping[str, int], *, shards: int
) -> None:
    """Report how often a shard met each class.

    Args:
        record_property: pytest's fixture.
        classes: Names of all classes.
        tally: Counts by name.
        shards: Number of shards of this test that a night runs.
    """
    record_property(PROPERTY, {"shards": shards, "met": {name: tally[name] for name in classes}})


class Classes:
    """What the shards have reported so far, by test."""

    def __init__(self) -> None:
        self._reports: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the counts of a shard that passed."""
        if report.when == "call" and report.passed:
            test = report.nodeid.partition("[")[0]
            self._reports[test] += [v for name, v in report.user_properties if name == PROPERTY]  # type: ignore[misc]

    def missed(self) -> list[str]:
        """Classes that no shard met, of the tests of which all shards passed."""
        found = []
        for test, reports in self._reports.items():
            if reports and len(reports) >= reports[0]["shards"]:
                met: Counter[str] = Counter()
                for report in reports:
                    met.update(report["met"])
                found += [f"{test}: {name}" for name in reports[0]["met"] if not met[name]]
        return found

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail if a class was missed."""
        if self.missed():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the missed classes."""
        for name in self.missed():
            terminalreporter.write_line(f"no history met this class: {name}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    """Count in each session."""
    config.pluginmanager.register(Classes(), "classes of random histories")
