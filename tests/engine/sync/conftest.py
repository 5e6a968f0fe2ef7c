"""In this folder a world is read by the engine alone, into memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_world import EngineWorld
from tests.support.fixtures import MakeWorld
from tests.support.world import make_box


@pytest.fixture
def make_world(tmp_path: Path) -> MakeWorld:
    """Makes a world of a sandbox with these settings."""

    def make(**settings: Any) -> EngineWorld:
        return EngineWorld(make_box(**settings), "", tmp_path)

    return make
