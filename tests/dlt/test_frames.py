"""How far it is from the resource's generator to the transport, by the frames between them.

The generator waits for a queue, which tasks fill: the frames of both sides are counted, each where its side
ends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import httpx
import pytest

from exact_source.client.transport import AiohttpTransport
from tests.support.world import World

MOST = 12
GENERATOR, TASK = "EntityReader.tables", "_read_each"


def outward(frame: FrameType | None) -> Iterator[str]:
    """Names of a frame and its callers."""
    while frame is not None:
        yield frame.f_code.co_qualname
        frame = frame.f_back


def test_few_frames_lie_between_a_resource_and_the_transport(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: set[tuple[str, ...]] = set()
    sending: set[tuple[str, ...]] = set()
    get, send = asyncio.Queue.get, AiohttpTransport.handle_async_request

    async def counted_get(queue: asyncio.Queue[Any]) -> Any:
        names = list(outward(sys._getframe(1)))
        if GENERATOR in names:
            waiting.add(tuple(names[: names.index(GENERATOR)]))
        return await get(queue)

    async def counted_send(transport: AiohttpTransport, request: httpx.Request) -> httpx.Response:
        names = list(outward(sys._getframe(1)))
        if TASK in names:  # not the list of divisions, which all streams share
            sending.add(tuple(names[: names.index(TASK) + 1]))
        return await send(transport, request)

    monkeypatch.setattr(asyncio.Queue, "get", counted_get)
    monkeypatch.setattr(AiohttpTransport, "handle_async_request", counted_send)
    world.sync("journals")
    assert waiting
    assert sending
    assert max(map(len, waiting)) + max(map(len, sending)) <= MOST, (waiting, sending)
