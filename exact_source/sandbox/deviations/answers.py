"""Replies with other rows, or with links that lead elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import NAMESPACE_OID, uuid5

from ..data.catalogue import Endpoint, Row
from ..odata.payload import Answer

NEW_CODE = 99
TOKEN = re.compile(r"(\$skiptoken=\d+)L")
SYNC_TIMESTAMP = "read/sync/Sync/SyncTimestamp"
ACCOUNTS_BULK, ACCOUNTS_SYNC = "bulk/CRM/Accounts", "sync/CRM/Accounts"
GL_SYNC = "sync/Financial/GLAccounts"


def hides_row(active: Collection[str], endpoint: Endpoint) -> Callable[[Row], bool] | None:
    """A test that the missing rows of a feed do not pass."""
    if "bulk-misses-rows" not in active or endpoint.path != ACCOUNTS_BULK:
        return None
    return lambda row: int(str(row["ID"])[-1], 16) % 4 != 0


def changed_answer(active: Collection[str], answer: Answer) -> Answer:
    """The page, changed by the active deviations."""
    changed = replace(answer, rows=_rows(active, answer))
    if "bare-lists" in active and answer.endpoint.kind == "regular" and answer.count is None:
        changed = replace(changed, bare=True, next_url=None)
    link = changed.next_url
    if link is None:
        return changed
    parts = urlsplit(link)
    if "links-without-query" in active:
        kept = [part for part in parts.query.split("&") if not part.startswith("$filter")]
        parts = parts._replace(query="&".join(kept))
    if "sync-token-without-l" in active and answer.endpoint.kind == "sync":
        parts = parts._replace(query=TOKEN.sub(r"\1", parts.query))
    if "relative-links" in active:
        parts = parts._replace(scheme="", netloc="")
    return replace(changed, next_url=parts.geturl())


def _rows(active: Collection[str], answer: Answer) -> list[Row]:
    rows, path = list(answer.rows), answer.endpoint.path
    if not rows:
        is_asked = path == SYNC_TIMESTAMP and "start-version-always" in active
        return [{"TimeStampAsBigInt": 1}] if is_asked else rows
    if path == "sync/Deleted":
        rows = _tombstones(active, rows)
    if "other-division" in active and "Division" in answer.columns and len(rows) > 1:
        rows[0] = {**rows[0], "Division": int(rows[0]["Division"]) + 1}
    if answer.endpoint.kind == "sync":
        rows = _sync_rows(active, path, rows)
    return rows


def _tombstones(active: Collection[str], rows: list[Row]) -> list[Row]:
    if "new-deleted-code" in active:
        rows = [{**row, "EntityType": NEW_CODE} for row in rows]
    if "deleted-without-key" in active:
        rows = [{**row, "EntityKey": None} for row in rows]
    return rows


def _sync_rows(active: Collection[str], path: str, rows: list[Row]) -> list[Row]:
    if "shared-versions" in active and len(rows) > 1:
        rows[1] = {**rows[1], "Timestamp": rows[0]["Timestamp"]}
    if "sync-has-other-keys" in active and path == ACCOUNTS_SYNC:
        rows = [{**row, "ID": str(uuid5(NAMESPACE_OID, str(row.get("ID"))))} for row in rows]
    if "sync-adds-gl-rows" in active and path == GL_SYNC:
        last = rows[-1]
        rows.append({**last, "ID": str(uuid5(NAMESPACE_OID, str(last.get("ID"))))})
    return rows
