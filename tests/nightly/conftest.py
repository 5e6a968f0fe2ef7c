"""Fixtures of the pipelines that people copy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.world import World


@pytest.fixture
def settings(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A world whose settings are in the environment, by the computer's own clock."""
    values = {
        "base_url": world.base_url,
        "client_id": world.box.client_id,
        "client_secret": world.box.client_secret,
        "token_file": str(world.folder / "tokens.json"),
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SOURCES__EXACT_ONLINE__{name.upper()}", value)
    monkeypatch.setenv("LOAD__DELETE_COMPLETED_JOBS", "false")  # the jobs are looked at
    world.box.state.limits.minute_limit = 1000  # these run by the computer's own clock
    world.box.clock.set(time.time())
    world.box.clock.run()
    world.login()
    monkeypatch.chdir(tmp_path / "project")
    return world
