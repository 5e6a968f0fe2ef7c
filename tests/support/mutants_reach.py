"""Records which tests run which lines: a pytest plugin (``-p tests.support.mutants_reach``).

The result is a coverage data file with a context for each test, and the duration of each test in seconds.
Both are written to the folder ``EXACT_REACH``, one pair for each xdist worker.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

PACKAGES = ("auth", "engine", "loading")


class Reach:
    """Switches the coverage context for each test.

    Args:
        folder: Folder for the data files.
        name: Name of this worker.
        root: Folder with ``exact_source``.
    """

    def __init__(self, folder: Path, name: str, root: Path) -> None:
        self._seconds: dict[str, float] = {}
        self._file = folder / f"seconds.{name}.json"
        sources = [str(root / "exact_source" / package) for package in PACKAGES]
        self._coverage = coverage.Coverage(
            str(folder / f"lines.{name}"), source=sources, config_file=False, data_suffix=False,
            concurrency=["thread"],
        )  # fmt: skip
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        result = yield
        self._coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        before = self._seconds.get(report.nodeid, 0.0)
        self._seconds[report.nodeid] = before + report.duration
        if report.failed:
            self._seconds[report.nodeid] = float("inf")  # proves nothing about a mutant

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        self._coverage.save()
        self._file.write_text(json.dumps(self._seconds), "utf-8")


def pytest_configure(config: pytest.Config) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    if config.getoption("numprocesses", None) and worker == "main":
        return  # the workers run the tests
    folder = Path(os.environ["EXACT_REACH"])
    folder.mkdir(parents=True, exist_ok=True)
    config.pluginmanager.register(Reach(folder, worker, config.rootpath), "reach")
