"""How far it is from the resource's generator to the transport, by the frames between them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import httpx
import pytest

from exact_source.client.request import ExactRequest
from exact_source.odata.query import build_filter, build_url
from tests.support.bench import Bench, small_box

MOST = 12
# ``EntityReader.tables``, ``_tables`` and ``_batches`` wait for the tasks in which streams are read.
OF_THE_GENERATOR = 3


def names_from(frame: FrameType | None, outermost: str) -> list[str]:
    names = []
    while frame is not None and frame.f_code.co_qualname != outermost:
        names.append(frame.f_code.co_qualname)
        frame = frame.f_back
    assert frame is not None, f"{outermost} is not among {names}"
    return names[::-1]


def test_few_frames_lie_between_a_resource_and_the_transport(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[list[str]] = []
    bench = Bench(small_box({"journals": "financial/Journals"}))
    send: Callable[..., Any] = bench.wire.handle_async_request

    async def counted(request: httpx.Request) -> httpx.Response:
        if "/financial/Journals" in str(request.url):
            found.append(names_from(sys._getframe(1), "Stream.read"))
        response: httpx.Response = await send(request)
        return response

    monkeypatch.setattr(bench.wire, "handle_async_request", counted)
    bench.sync(["journals"])
    assert found
    for names in found:
        assert OF_THE_GENERATOR + 1 + len(names) <= MOST, names


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
