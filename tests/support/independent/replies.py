"""JSON, CSDL and response bodies."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any
from xml.sax.saxutils import quoteattr

import httpx

from tests.support.independent.company import Row
from tests.support.independent.faults import Fault
from tests.support.independent.feeds import Feed
from tests.support.independent.query import as_literal, value_of

CHUNK = 1 << 16
BLANK = b" " * (1 << 20)
EDM = {
    "g": "Guid", "s": "String", "f": "Double", "i": "Int32", "b": "Boolean", "d": "DateTime", "l": "Int64",
}  # fmt: skip
JSON_TYPE = "application/json;charset=utf-8"


def json_value(value: Any, letter: str) -> Any:
    """Int64 is a string, a date ``/Date(ms)/``, and a whole Double has no decimal point (API 3.4, 3.5)."""
    if value is None:
        return None
    if letter == "f" and float(value).is_integer():
        return int(value)
    if letter == "d":
        return f"/Date({value})/"
    return str(value) if letter == "l" else value


def json_row(row: Row, feed: Feed, columns: Iterable[str], address: str) -> dict[str, Any]:
    """A row with ``__metadata``, its columns in the order of the type (API 3.1, 12.8)."""
    key = as_literal(value_of(row, feed.key), feed.columns[feed.key])
    found: dict[str, Any] = {"__metadata": {"uri": f"{address}({key})", "type": feed.type}}
    return found | {n: json_value(value_of(row, n), feed.columns[n]) for n in columns}


def to_octets(data: Any) -> bytes:
    """JSON as .NET writes it: slashes of dates are escaped (API 3.5)."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.replace('"/Date(', '"\\/Date(').replace(')/"', ')\\/"').encode()


def error(text: str) -> dict[str, Any]:
    return {"error": {"code": "", "message": {"lang": "", "value": text}}}


def csdl(feeds: Iterable[Feed]) -> bytes:
    """``$metadata`` of one service or of all (API 3.1, 12.17)."""
    by_space: dict[str, dict[str, str]] = {}
    sets = []
    for feed in feeds:
        space, _, name = feed.type.rpartition(".")
        by_space.setdefault(space, {})[name] = _entity_type(name, feed)
        sets.append(
            f"<EntitySet Name={quoteattr(_set_name(feed))} EntityType={quoteattr(feed.type)} />"
        )
    schema = "http://schemas.microsoft.com/ado/2009/11/edm"
    schemas = "".join(
        f'<Schema Namespace="{space}" xmlns="{schema}">{"".join(types.values())}</Schema>'
        for space, types in by_space.items()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="1.0" '
        'xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx"><edmx:DataServices '
        'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata" '
        f'm:DataServiceVersion="2.0">{schemas}<Schema Namespace="Default" xmlns="{schema}">'
        f'<EntityContainer Name="ExactWebApi" m:IsDefaultEntityContainer="true">{"".join(sets)}'
        "</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()


def _set_name(feed: Feed) -> str:
    return feed.path.rpartition("/")[2]


def _entity_type(name: str, feed: Feed) -> str:
    properties = "".join(
        f'<Property Name="{n}" Type="Edm.{EDM[letter]}" Nullable="{str(n != feed.key).lower()}" />'
        for n, letter in feed.columns.items()
    )
    return (
        f'<EntityType Name="{name}"><Key><PropertyRef Name="{feed.key}" /></Key>'
        f"{properties}</EntityType>"
    )


# -- bodies ----------------------------------------------------------------------------------------


class Body(httpx.AsyncByteStream):
    """A response body that may end too soon."""

    def __init__(self, chunks: Callable[[], Iterator[bytes]], *, cut: bool = False) -> None:
        self._chunks, self._cut = chunks, cut
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks():
            self.sent += len(chunk)
            yield chunk
        if self._cut:
            raise httpx.RemoteProtocolError("peer closed connection without sending complete body")


def send(
    status: int, headers: Mapping[str, str], body: bytes, *, packed: bool, fault: Fault | None
) -> httpx.Response:
    """A response whose body may be damaged or too large."""
    kind = fault.kind if fault is not None else ""
    size = fault.size if fault is not None else 0
    headers = dict(headers)
    if packed or kind in {"gzip", "bomb"}:
        headers["Content-Encoding"] = "gzip"
    if kind in {"huge", "bomb"}:
        pack = "Content-Encoding" in headers
        stream = Body(lambda: _bomb(body, size) if pack else _padded(body, size))
    else:
        octets = gzip.compress(body, 1) if "Content-Encoding" in headers else body
        if kind == "gzip":
            octets = octets[:12] + bytes(b ^ 0x5A for b in octets[12:])
        if kind == "cut":
            octets = octets[: len(octets) // 2]
        stream = Body(lambda: _parts(octets), cut=kind == "cut")
    return httpx.Response(status, headers=headers, stream=stream)


def _parts(octets: bytes) -> Iterator[bytes]:
    for at in range(0, len(octets), CHUNK):
        yield octets[at : at + CHUNK]


def _padded(body: bytes, size: int) -> Iterator[bytes]:
    """A body followed by blanks, which JSON allows."""
    yield body
    for _ in range(size // len(BLANK)):
        yield BLANK


def _bomb(body: bytes, size: int) -> Iterator[bytes]:
    """The same, compressed to a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    yield packer.compress(body)
    for _ in range(size // len(BLANK)):
        yield packer.compress(BLANK)
    yield packer.flush()
