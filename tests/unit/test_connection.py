"""The connection of a run stores each error at once, because Exact's count outlives a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from exact_source.client.limits import Limits
from exact_source.engine.connection import Connection
from exact_source.errors import LimitError
from tests.support.world import Clock, make_box


class Client:
    """A client that sends nothing."""

    def __init__(self) -> None:
        self.on_wait: Any = None
        self.on_error: Callable[[], None] = lambda: None

    def report_to(self, on_wait: Any, on_error: Callable[[], None]) -> None:
        self.on_wait, self.on_error = on_wait, on_error

    async def close(self) -> None:
        """Nothing is open."""


class File:
    """A file of errors that counts how often it is written."""

    def __init__(self) -> None:
        self.kept = 0

    def recall(self, _limits: Limits) -> None:
        """Nothing is known."""

    def keep(self, _limits: Limits, _now: float) -> None:
        self.kept += 1


def test_errors_are_stored_when_they_happen_and_at_the_end() -> None:
    client, file = Client(), File()
    arguments: Any = lambda: client, Clock(make_box().clock), Limits()
    connection = Connection(*arguments)
    shared: Any = file
    connection.share_errors(shared)
    connection.open(client.on_wait)
    client.on_error()
    assert file.kept == 1

    asyncio.run(connection.close())
    assert file.kept == 2


def test_a_withdrawn_field_is_noted_once_however_many_divisions_find_it() -> None:
    arguments: Any = Client, Clock(make_box().clock), Limits()
    connection = Connection(*arguments)
    connection.note_withdrawn("sync/Deleted", ["DeletedBy"])
    connection.note_withdrawn("sync/Deleted", ["DeletedBy", "ID"])

    assert connection.withdrawn == {"sync/Deleted": ("DeletedBy", "ID")}


def test_a_stream_that_is_about_to_send_when_the_run_ends_has_not_failed() -> None:
    client = Client()
    arguments: Any = lambda: client, Clock(make_box().clock), Limits()
    connection = Connection(*arguments)
    connection.open(client.on_wait)
    asyncio.run(connection.close())

    with pytest.raises(LimitError):
        _ = connection.client
