"""Every test has folders of its own, and nothing leaves the machine."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.isolation import forget_settings
from tests.support.tiers import examples

# Fixtures of several folders, each after those that it imports, and a check of the session.
pytest_plugins = [
    f"tests.support.{name}"
    for name in (
        "fixtures",
        "postgres",
        "bigquery",
        "browser",
        "cli_fixtures",
        "small_pages",
        "start_versions",
        "books",
        "classes_met",
    )
]

# Before dlt is imported: it reads these once.
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"

# A shell starts what runs behind it with Ctrl-C ignored, and every process would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is about time: a machine that is busy must not fail it.
settings.register_profile(
    "untimed",
    examples(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put a folder and the emulator of BigQuery, which one worker waits for, into the nightly tier."""
    for item in items:
        groups = {mark.args[0] for mark in item.iter_markers("xdist_group")}
        is_nightly = "nightly" in item.path.parts or "bigquery" in groups
        if is_nightly and item.get_closest_marker("proofs") is None:
            item.add_marker(pytest.mark.nightly)


def pytest_collection_finish() -> None:
    """Let what is imported by now be: looking for garbage in it took an eighth of the tests' time."""
    if "dlt.common.configuration.specs.base_configuration" in sys.modules:
        from tests.support.quick_dlt import make_dlt_quicker

        make_dlt_quicker()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, tokens or pipelines but those of the test."""
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    for name in ("COLUMNS", "LINES"):  # pytest-xdist sets them, and they overrule a terminal's own
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "home" / ".dlt"))
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path / "project"))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")
    if (masking := sys.modules.get("exact_source.auth.masking")) is not None:
        masking.SECRETS._secrets.clear()  # of the test before
    if "dlt" in sys.modules:
        forget_settings()
