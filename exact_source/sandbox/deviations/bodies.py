"""JSON with values in a different form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..odata.payload import dump

DATE = re.compile(r"/Date\((-?\d+)\)/")
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
DAY_MS = 86_400_000
AHEAD_MS = 2 * 3600 * 1000
TEXT = (
    "iso-dates", "rows-ahead", "dates-as-instants", "version-as-number", "amounts-as-texts",
    "capital-guids", "codes-unpadded", "texts-unpadded", "count-as-number", "empty-is-null",
    "server-time-in-utc", "offset-in-minutes",
)  # fmt: skip
Change = Callable[[str, Any], Any]


def changed_body(
    active: Collection[str], path: str, columns: Mapping[str, str], body: bytes, offset: timedelta
) -> bytes:
    """The body, changed by the active deviations."""
    if not any(name in active for name in TEXT):
        return body
    document = json.loads(body)
    content = document.get("d")
    rows = content if isinstance(content, list) else content.get("results") or []
    for row in rows:
        for column, value in list(row.items()):
            if value is not None and column != "__metadata":
                type_code = columns.get(column, "")
                row[column] = _changed(active, path, (column, type_code), value, offset)
    if isinstance(content, dict):
        if "count-as-number" in active and "__count" in content:
            content["__count"] = int(content["__count"])
        if "empty-is-null" in active and content.get("results") == []:
            content["results"] = None
    return dump(document)


def _changed(
    active: Collection[str], path: str, column: tuple[str, str], value: Any, offset: timedelta
) -> Any:
    name, type_code = column
    if path == "current/Me":
        return _of_me(active, name, value, offset)
    if type_code == "t":
        return _date(active, name, str(value), offset)
    if type_code in {"s", "g"}:
        return _text(active, name, str(value))
    if type_code == "l" and "version-as-number" in active:
        return int(value)
    return f"{value}" if type_code == "m" and "amounts-as-texts" in active else value


def _text(active: Collection[str], name: str, value: str) -> str:
    if "capital-guids" in active and GUID.fullmatch(value):
        return value.upper()
    if "codes-unpadded" in active and name == "Code":
        return value.lstrip()
    return value.rstrip() if "texts-unpadded" in active else value


def _of_me(active: Collection[str], name: str, value: Any, offset: timedelta) -> Any:
    if name == "ServerTime" and "server-time-in-utc" in active:
        return (datetime.fromisoformat(value) - offset).isoformat(timespec="seconds")
    if name == "ServerUtcOffset" and "offset-in-minutes" in active:
        return value / 60
    return value


def _date(active: Collection[str], name: str, value: str, offset: timedelta) -> str:
    found = DATE.fullmatch(value)
    if found is None:
        return value
    ms = int(found[1])
    if "rows-ahead" in active and name in {"Created", "Modified"}:
        ms += AHEAD_MS
    if "dates-as-instants" in active and ms % DAY_MS == 0:
        ms -= int(offset.total_seconds()) * 1000
    if "iso-dates" in active:
        return datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None).isoformat()
    return f"/Date({ms})/"
