"""The core on the second Exact Online: hosts with separate clocks, and one destination."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

import httpx

from exact_source.catalogue import load_catalogue
from exact_source.client.transport import AiohttpTransport
from tests.support.bench import BASE_URL, Bench, Ledger, shape_of
from tests.support.independent.clocks import HostClock
from tests.support.independent.replies import Body
from tests.support.independent_server import IndependentServer
from tests.support.world import assert_same_rows, expected_value

Row = dict[str, Any]
MOST_BYTES = 4 << 20  # largest reply
HOSTILE_BYTES = 2 * MOST_BYTES


class GoodToken:
    """Gives the token that the server accepts, and replaces it when it is rejected."""

    def __init__(self, server: IndependentServer) -> None:
        self._server = server

    async def access_token(self) -> str:
        return self._server.token

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        self._server.token += "+"
        return self._server.token


class Line(httpx.AsyncBaseTransport):
    """The connection of a host to the server. It reads replies as the client's transport does.

    Attributes:
        before_call: Called before each call.
        unlimited: Paths of the replies that were too large and were read to their end.
    """

    def __init__(self, server: IndependentServer) -> None:
        self._server = server
        self._limit = AiohttpTransport(BASE_URL, MOST_BYTES)
        self.before_call: Any = lambda: None
        self.unlimited: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.before_call()
        response = await self._server.handle_async_request(request)
        if not isinstance(response.stream, Body):
            return response
        content = await self._limit._read(Parts(response.stream))  # type: ignore[arg-type]
        headers = response.headers.copy()
        if headers.pop("Content-Encoding", ""):
            content = self._limit._unpack(content)
        if len(content) > MOST_BYTES:
            self.unlimited.append(request.url.path)
        return httpx.Response(response.status_code, headers=headers, content=content)


class Parts:
    """A body as the transport reads it."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def iter_any(self) -> AsyncIterator[bytes]:
        return aiter(self._body)


class IndependentBench(Bench):
    """A host that reads from the second Exact Online.

    Args:
        server: Server to read from.
        clock: Clock of the host; it may be wrong.
        ledger: Destination and cursors. Default: an empty one.
    """

    def __init__(
        self, server: IndependentServer, clock: HostClock, ledger: Ledger | None = None
    ) -> None:
        self.server = server
        self.clock = clock  # type: ignore[assignment]  # not the sandbox's clock
        self.ledger = Ledger() if ledger is None else ledger
        self._tokens = GoodToken(server)  # type: ignore[assignment]
        self.wire = Line(server)  # type: ignore[assignment]

    def assert_equal(self, entity: str, route: str, divisions: Iterable[int]) -> None:
        """Assert that the rows loaded by a route equal those of the company."""
        shape = shape_of(entity, route)
        columns = load_catalogue().entities[entity].columns
        wanted_names = set(shape.full.arrow.names)
        for division in divisions:
            wanted = [
                {"division": division}
                | {
                    columns[name].name: as_stored(name, columns[name].type_code, value)
                    for name, value in row.items()
                    if name != "Division" and name in columns and columns[name].name in wanted_names
                }
                for row in self.server.expected_rows(entity, division)
            ]
            # A column of an earlier page may stay in ``_extra``.
            held = [
                {**row, "_extra": None} for row in self.ledger._of(entity, division, marked=False)
            ]
            assert_same_rows(entity, held, wanted)


def as_stored(name: str, letter: str, value: Any) -> Any:
    """A value of a reply as the destination should hold it."""
    if isinstance(value, str) and value.startswith("/Date("):
        return datetime.fromtimestamp(int(value[6:-2]) / 1000, UTC).replace(tzinfo=None)
    if name == "Timestamp" and value is not None:
        return int(value)
    return expected_value(name, letter, value)
