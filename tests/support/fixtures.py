"""Fixtures of most tests: a sandbox with its settings, served on a socket.

Imports dlt in functions only, because ``tests/conftest.py`` sets its environment first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

MakeWorld = Callable[..., Any]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Makes a world of a sandbox with these settings, served on a socket."""
    from tests.support.world import World, make_box

    with ExitStack() as stack:

        def make(destination: Any = None, **settings: Any) -> World:
            box = make_box(**settings)
            return World(box, stack.enter_context(box.serve()), tmp_path, destination)

        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> Any:
    """Two companies with few rows and small pages."""
    return make_world()
