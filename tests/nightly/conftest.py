"""Fixtures of the pipelines that people copy."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.world import World, export_settings


@pytest.fixture
def settings(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A world whose settings are in the environment, by the computer's own clock."""
    export_settings(world, monkeypatch)
    monkeypatch.setenv("LOAD__DELETE_COMPLETED_JOBS", "false")  # the jobs are looked at
    world.box.state.limits.minute_limit = 1000  # these run by the computer's own clock
    world.box.clock.set(time.time())
    world.box.clock.run()
    world.login()
    monkeypatch.chdir(tmp_path / "project")
    return world
