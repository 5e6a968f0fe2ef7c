"""Builds queries and checks next links according to Exact's OData dialect (API 3), without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl, quote, urlsplit

from ..errors import ConfigurationError, ContractError

# After encoding (API 2.4).
MAX_URL = 6000
SAFE = "$,'():/"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def format_datetime(ms: int) -> str:
    """``datetime'2024-01-31T10:00:00'`` from the milliseconds inside ``/Date(ms)/``.

    The time is the server's wall-clock time, so no time zone is involved (API 3.5). Milliseconds are cut
    off: with ``ge`` a few rows are read again, and none is lost. Seconds are always sent (API 3.3).
    """
    at = EPOCH + timedelta(seconds=ms // 1000)
    return f"datetime'{at.replace(tzinfo=None).isoformat(timespec='seconds')}'"


def format_literal(type_code: str, value: object) -> str:
    """A literal of a type code: ``g`` guid, ``t`` datetime (ms), ``s`` text, ``l`` long, others unchanged.

    Raises:
        ConfigurationError: If a guid is malformed.
    """
    text = str(value)
    if type_code == "g":
        if not _GUID.fullmatch(text):
            raise ConfigurationError(f"a parameter must be a GUID; got {len(text)} characters")
        return f"guid'{text}'"
    if type_code == "t":
        return text if text.startswith("datetime'") else f"datetime'{text}'"
    if type_code == "s":
        return "'" + text.replace("'", "''") + "'"
    if type_code == "b":
        return text.lower()
    return f"{text}L" if type_code == "l" else text


def build_filter(column: str, since: int) -> str:
    """The filter of a read that begins after a cursor: ``Timestamp gt 5L``, ``Modified ge datetime'…'``."""
    if column == "Timestamp":
        return (
            f"Timestamp gt {since}L"  # without the L, large values fail for some clients (API 3.3)
        )
    return f"{column} ge {format_datetime(since)}"


def build_window(column: str, since: int, end_ms: int) -> str:
    """The filter of a window by a date: ``Modified ge datetime'…' and Modified lt datetime'…'``.

    Args:
        column: Name of the date field.
        since: Beginning of the window, in wall-clock milliseconds.
        end_ms: End of the window, rounded up to whole seconds; later rows are left out after the read.
    """
    end = format_datetime(-(-end_ms // 1000) * 1000)
    return f"{column} ge {format_datetime(since)} and {column} lt {end}"


def build_path(path: str, division: int) -> str:
    """``/api/v1/{division}/crm/Accounts``; in beta endpoints the division follows ``beta`` (API 1.1)."""
    if path == "current/Me":
        return "/api/v1/current/Me"
    if path.startswith("beta/"):
        return f"/api/v1/beta/{division}/{path.removeprefix('beta/')}"
    return f"/api/v1/{division}/{path}"


def build_url(path: str, division: int, query: Mapping[str, str]) -> str:
    """Path and query of a read, encoded.

    Raises:
        ContractError: If the result is longer than Exact accepts (API 2.4).
    """
    text = "&".join(_pair(name, value) for name, value in query.items())
    url = build_path(path, division) + ("?" + text if text else "")
    if len(url) > MAX_URL - 100:  # leaves room for the origin and a $skiptoken
        raise ContractError(
            f"{path} of division {division}: the query is {len(url)} characters long"
        )
    return url


@lru_cache(maxsize=1024)  # the same fields are requested from all divisions
def _pair(name: str, value: str) -> str:
    return quote(name, safe="$") + "=" + quote(value, safe=SAFE)


def fit_select(fields: Iterable[str], keep: Iterable[str], room: int = MAX_URL - 600) -> list[str]:
    """The first fields that fit into a URL; those in ``keep`` are always included."""
    must, chosen = set(keep), list(fields)
    size = len(",".join(chosen))
    for name in reversed(list(chosen)):
        if size <= room:
            break
        if name not in must:
            chosen.remove(name)
            size -= len(name) + 1
    return chosen


def check_next(next_url: str, base_url: str, path: str, division: int) -> str:
    """Path and query of a next link to the same site, division and endpoint.

    The link is followed unchanged (API 3.2), but the bearer token is never sent to another site.

    Raises:
        ContractError: If the link leads elsewhere.
    """
    base, here = urlsplit(base_url), build_path(path, division)
    try:
        link = urlsplit(next_url)
    except ValueError:  # not a URL, such as http://[
        link = urlsplit("")
    # Exact sometimes uses another spelling of the path in links, so case is ignored.
    same = (link.scheme, link.netloc) == (base.scheme, base.netloc)
    if not same or link.path.rstrip("/").lower() != here.lower():
        raise ContractError(
            f"{path} of division {division}: the next link leaves the endpoint; it was not followed"
        )
    return f"{link.path}?{link.query}"


def skiptoken(url: str) -> str | None:
    """The decoded ``$skiptoken`` of a next link; ``None`` if it has none."""
    return dict(parse_qsl(urlsplit(url).query)).get("$skiptoken")
