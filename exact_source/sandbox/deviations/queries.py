"""Queries that are interpreted differently, or refused."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from ..data.catalogue import Endpoint
from ..http.errors import MANDATORY_FILTER, NO_SUCH_FILTER, NOT_FOUND, RefusedError, bad_request

DATETIME = re.compile(r"datetime'([^']+)'")
SYNC_TIMESTAMP, WITHDRAWN = "read/sync/Sync/SyncTimestamp", "crm/AddressStates"
IGNORED = {"orderby-ignored": "$orderby", "no-inline-count": "$inlinecount"}
__all__ = ["MANDATORY_FILTER", "changed_options", "refuse_call"]


def refuse_call(active: Collection[str], path: str, tail: str | None) -> None:
    """Refuse a call, whatever its query.

    Raises:
        RefusedError: 404 or 400.
    """
    if "no-rights-question" in active and path == "users/UserHasRights":
        raise RefusedError(404, NOT_FOUND)
    if "no-count-path" in active and tail == "$count":
        raise RefusedError(404, NOT_FOUND)
    if "endpoint-withdrawn" in active and path == WITHDRAWN:
        raise RefusedError(404, NOT_FOUND)
    if "one-metadata" in active and tail == "$metadata" and path:
        raise RefusedError(404, NOT_FOUND)
    if "no-start-version" in active and path == SYNC_TIMESTAMP:
        raise bad_request()


def changed_options(
    active: Collection[str], endpoint: Endpoint, options: Mapping[str, str], offset: timedelta
) -> dict[str, str]:
    """The options, changed by the active deviations.

    Raises:
        RefusedError: 400, for a filter that is not accepted.
    """
    found = dict(options)
    for name, option in IGNORED.items():
        if name in active:
            found.pop(option, None)
    if "top-ignored" in active and endpoint.kind == "regular":
        found.pop("$top", None)
    if "sync-top-ignored" in active and endpoint.kind == "sync":
        found.pop("$top", None)
    if "select-ignored" in active and "$select" in found and endpoint.kind == "regular":
        found["$select"] = ",".join(endpoint.columns)
    if "$filter" in found:
        _refuse_filter(active, endpoint, found["$filter"])
        found["$filter"] = _changed_filter(active, endpoint, found["$filter"], offset)
    return found


def _refuse_filter(active: Collection[str], endpoint: Endpoint, text: str) -> None:
    names = {
        "no-modified-filter": endpoint.kind == "regular" and "Modified " in text,
        "no-bulk-modified-filter": endpoint.kind == "bulk" and "Modified " in text,
        "no-key-filter": text.startswith("ID ne "),
        "no-version-zero": text.endswith("Timestamp gt 0L"),
    }
    if any(name in active and is_met for name, is_met in names.items()):
        raise bad_request(f"{NO_SUCH_FILTER}: {text.split(' ', 1)[0]}")


def _changed_filter(
    active: Collection[str], endpoint: Endpoint, text: str, offset: timedelta
) -> str:
    if "version-inclusive" in active and endpoint.kind == "sync":
        text = text.replace("Timestamp gt ", "Timestamp ge ")
    if "filter-in-utc" in active:
        text = DATETIME.sub(lambda m: f"datetime'{_later(m[1], offset)}'", text)
    return text


def _later(text: str, offset: timedelta) -> str:
    return (datetime.fromisoformat(text) + offset).isoformat(timespec="seconds")
