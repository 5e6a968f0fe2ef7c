"""Each request goes out once, as httpx made it, and each trouble of the wire is one that httpx knows."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from exact_source.client.call import Call
from exact_source.client.client import ExactClient
from exact_source.client.request import ExactRequest
from exact_source.client.transport import MB, AiohttpTransport, TooLargeError
from exact_source.errors import LimitError
from exact_source.odata.query import build_filter, build_url

Write = asyncio.StreamWriter
Answer = Callable[[Write], Awaitable[None]]
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def say(data: bytes) -> Answer:
    async def answer(writer: Write) -> None:
        writer.write(data)
        await writer.drain()

    return answer


async def hang_up(writer: Write) -> None:
    writer.close()


async def cut_off(writer: Write) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1, 2")
    await writer.drain()
    writer.close()


async def say_nothing(writer: Write) -> None:
    await asyncio.sleep(60)


class Server:
    """Gives its answers one after the other, whatever it is asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.heads: list[str] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: Write) -> None:
        self.connections += 1
        try:
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                await self.answers.pop(0)(writer)
        except asyncio.IncompleteReadError:
            writer.close()

    @asynccontextmanager
    async def asked(self, max_bytes: int = 64 * MB, **options: Any) -> Any:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        transport = AiohttpTransport(url, max_bytes)
        async with httpx.AsyncClient(transport=transport, base_url=url, **options) as client:
            yield client
        server.close()


TROUBLES = {
    "a connection that ends before the answer": (hang_up, httpx.RemoteProtocolError),
    "a body that ends too early": (cut_off, httpx.RemoteProtocolError),
    "no HTTP": (say(b"220 smtp.example ESMTP\r\n\r\n"), httpx.RemoteProtocolError),
    "no answer": (say_nothing, httpx.ReadTimeout),
}


@pytest.mark.parametrize(("answer", "kind"), TROUBLES.values(), ids=TROUBLES)
def test_each_trouble_is_an_error_of_httpx(answer: Answer, kind: type[Exception]) -> None:
    async def ask() -> None:
        async with Server(answer).asked(timeout=httpx.Timeout(5, read=0.05)) as client:
            await client.get("/")

    with pytest.raises(kind):
        asyncio.run(ask())


def test_nobody_there_is_an_error_of_httpx() -> None:
    async def ask() -> None:
        url = "http://127.0.0.1:9/"
        async with httpx.AsyncClient(transport=AiohttpTransport(url)) as client:
            await client.get(url)

    with pytest.raises(httpx.ConnectError):
        asyncio.run(ask())


def test_a_kept_connection_that_breaks_is_reported_and_the_call_is_not_repeated() -> None:
    server = Server(say(FINE), hang_up, say(FINE))

    async def ask() -> int:
        async with server.asked() as client:
            await client.get("/first")
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/second")
            return server.connections

    assert asyncio.run(ask()) == 1
    assert [head.split()[1] for head in server.heads] == ["/first", "/second"]


def test_a_request_goes_out_as_it_was_made() -> None:
    packed = gzip.compress(b'{"d":[]}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n"
    server = Server(say(f"{head}Set-Cookie: a=b\r\n\r\n".encode() + packed), say(FINE))
    query = "/api?$filter=Name%20eq%20'a%2Fb%2Bc'&$select=A,B"

    async def ask() -> httpx.Response:
        async with server.asked(headers={"Accept": "application/json"}) as client:
            answer: httpx.Response = await client.get(query, headers={"Authorization": "Bearer x"})
            client.cookies.clear()
            await client.post("/", json={"Topic": "Items"})
            return answer

    answer = asyncio.run(ask())
    first, second = server.heads
    lines = [line.lower() for line in first.splitlines()]
    assert answer.content == b'{"d":[]}'
    assert lines[0] == f"get {query.lower()} http/1.1"
    assert lines.count("accept: application/json") == 1
    assert lines.count("authorization: bearer x") == 1
    assert len([line for line in lines if line.startswith("accept-encoding:")]) == 1
    assert "cookie:" not in second.lower()
    assert "content-type: application/json" in second.lower()


class Token:
    """What the client needs of a connection."""

    async def access_token(self) -> str:
        return "token"

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        raise AssertionError(access_token, date)


@pytest.mark.parametrize("reading", [True, False])
def test_a_client_that_is_closed_ends_its_calls_and_makes_no_other(reading: bool) -> None:
    """As at the end of a run that one stream ends for all."""
    arrived = asyncio.Event()

    async def hold(_writer: Write) -> None:
        arrived.set()
        await asyncio.sleep(60)

    server = Server(hold, hold, hold)

    async def close_while_reading() -> BaseException | None:
        async with server.asked() as reached:
            client = ExactClient(Token(), str(reached.base_url))
            get = asyncio.create_task(client.get(Call(7, "a", "a"), "/a", bytes))
            if reading:
                await arrived.wait()
            await client.close()
            (found,) = await asyncio.gather(get, return_exceptions=True)
            assert isinstance(found, BaseException)
            return found

    assert isinstance(asyncio.run(close_while_reading()), LimitError)
    assert len(server.heads) == reading


def reply(body: bytes, *, packed: bool) -> Answer:
    coding = "Content-Encoding: gzip\r\n" if packed else ""
    head = f"HTTP/1.1 200 OK\r\n{coding}Content-Length: {len(body)}\r\n\r\n"
    return say(head.encode() + body)


MOST = 100_000
BOMB = gzip.compress(bytes(30_000_000))


def test_a_reply_as_large_as_allowed_is_read() -> None:
    body = bytes(MOST)
    server = Server(reply(body, packed=False), reply(gzip.compress(body), packed=True))

    async def ask() -> list[bytes]:
        async with server.asked(MOST) as client:
            return [(await client.get("/")).content for _ in range(2)]

    assert asyncio.run(ask()) == [body, body]


@pytest.mark.parametrize(
    "answer",
    [reply(bytes(MOST + 1), packed=False), reply(BOMB, packed=True)],
    ids=["plain", "a bomb of gzip"],
)
def test_a_larger_reply_is_not_read_into_memory(answer: Answer) -> None:
    async def ask() -> None:
        async with Server(answer).asked(MOST) as client:
            await client.get("/")

    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            asyncio.run(ask())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"x" * 1000)[:-20] + bytes(20)], ids=["other", "damaged"]
)
def test_a_body_that_cannot_be_unpacked_is_an_error_of_httpx(body: bytes) -> None:
    async def ask() -> None:
        async with Server(reply(body, packed=True)).asked() as client:
            await client.get("/")

    with pytest.raises(httpx.DecodingError):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("setting", "excepted", "expected"),
    [
        ("http_proxy", "", "GET http://exact.example/a HTTP/1.1"),
        ("HTTP_PROXY", "other.example", "GET http://exact.example/a HTTP/1.1"),
        ("ALL_PROXY", "", "GET http://exact.example/a HTTP/1.1"),
        ("HTTP_PROXY", "exact.example", None),
        ("HTTPS_PROXY", "", None),
    ],
)
def test_the_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, setting: str, excepted: str, expected: str | None
) -> None:
    server, site = Server(say(FINE)), "http://exact.example"

    async def ask() -> str | None:
        async with server.asked() as reached:
            monkeypatch.setenv(setting, f"http://me:secret@{reached.base_url.netloc.decode()}")
            monkeypatch.setenv("NO_PROXY", excepted)
            async with httpx.AsyncClient(transport=AiohttpTransport(site)) as client:
                try:
                    await client.get(f"{site}/a")
                except httpx.ConnectError:  # the name does not exist
                    return None
        return server.heads[0]

    head = asyncio.run(ask())
    assert (head and head.splitlines()[0]) == expected
    assert expected is None or "Proxy-Authorization: Basic bWU6c2VjcmV0" in str(head)


LONG = ",".join(f"Field{n}" for n in range(300))


@pytest.mark.parametrize(
    "target",
    [
        build_url("crm/Accounts", 1, {"$select": "ID,Name", "$filter": "Timestamp gt 5L"}),
        build_url("crm/Accounts", 1, {"$filter": build_filter("Modified", 1_700_000_000_000)}),
        build_url("read/x/Y", 1, {"a": "'é ß'", "b": "guid'00000000-0000-0000-0000-000000000000'"}),
        "/api/v1/1/crm/Accounts?$skiptoken=guid'5a-%20b'",
        "/api/v1/1/crm/Accounts?$skiptoken=a b",
        '/api/v1/1/crm/Accounts?x="<>`{}|^\\%zz%é#f',
        "/api/./v1/../x?y=..",
        "/api/v1/1/$metadata",
        f"/api/v1/1/crm/Accounts?$select={LONG}",
    ],
)
@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "https://start.exactonline.nl"])
def test_a_request_has_the_url_that_httpx_would_send(origin: str, target: str) -> None:
    request = ExactRequest("GET", httpx.URL(origin), target, headers={"A": "b"})
    usual = httpx.Request("GET", origin + target, headers={"A": "b"})
    assert request.full_url == str(usual.url)
    assert request.url == usual.url
    assert request.headers == usual.headers
