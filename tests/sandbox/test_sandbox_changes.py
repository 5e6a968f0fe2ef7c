from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from exact_source.sandbox import Sandbox
from exact_source.sandbox.clock import wall_clock
from tests.support.sandbox_kit import NOON, Caller, error_text, new_box

ACCOUNTS = "crm/Accounts"


@pytest.fixture
def box() -> Sandbox:
    return new_box()


@pytest.fixture
def caller(box: Sandbox) -> Caller:
    return Caller(box)


def by_key(box: Sandbox, path: str, division: int, key: str = "ID") -> dict[Any, dict[str, Any]]:
    return {row[key]: row for row in box.rows(path, division)}


def tombstones(box: Sandbox, division: int) -> set[tuple[int, str]]:
    return {(row["EntityType"], row["EntityKey"]) for row in box.rows("sync/Deleted", division)}


def test_same_row_in_all_feeds(box: Sandbox, caller: Caller) -> None:
    division = caller.division
    key = box.insert(ACCOUNTS, division, {"Name": "Nieuw"})["ID"]
    for path in (ACCOUNTS, "bulk/CRM/Accounts", "sync/CRM/Accounts"):
        assert by_key(box, path, division)[key]["Name"] == "Nieuw"
    assert "Timestamp" not in by_key(box, ACCOUNTS, division)[key]
    assert key not in by_key(box, ACCOUNTS, box.divisions[1])


def test_rows_have_every_column_of_their_endpoint(box: Sandbox, caller: Caller) -> None:
    columns = box.state.catalogue.endpoint("bulk/Logistics/Items").columns
    for row in box.rows("bulk/Logistics/Items", caller.division):
        assert list(row) == list(columns)
        assert row["Division"] == caller.division


def test_insert_fills_in_key_moments_and_a_higher_version(box: Sandbox, caller: Caller) -> None:
    before = max(row["Timestamp"] for row in box.rows("sync/CRM/Accounts", caller.division))
    row = box.insert(ACCOUNTS, caller.division, {"Name": "Nieuw"})
    assert row["Created"] == row["Modified"] == wall_clock(NOON.timestamp())
    assert row["Timestamp"] > before
    assert row["ID"] == row["ID"].lower()


def test_late_commit_keeps_the_version_that_it_is_given(box: Sandbox, caller: Caller) -> None:
    row = box.insert(ACCOUNTS, caller.division, {"Name": "Laat", "Timestamp": 11_386_558_000})
    assert (
        by_key(box, "sync/CRM/Accounts", caller.division)[row["ID"]]["Timestamp"] == 11_386_558_000
    )


def test_update_raises_version_and_modified(box: Sandbox, caller: Caller) -> None:
    key, old = next(iter(by_key(box, "sync/CRM/Accounts", caller.division).items()))
    box.clock.advance(60)
    box.update(ACCOUNTS, caller.division, key, {"Name": "Anders", "Remarks": None})
    new = by_key(box, "sync/CRM/Accounts", caller.division)[key]
    assert (new["Name"], new["Remarks"]) == ("Anders", None)
    assert new["Timestamp"] > old["Timestamp"]
    assert new["Modified"] == wall_clock(NOON.timestamp() + 60)
    assert new["Created"] == old["Created"]


def test_versions_are_unique_in_the_whole_database(box: Sandbox) -> None:
    versions = [
        row["Timestamp"]
        for endpoint in box.state.catalogue
        if endpoint.kind == "sync"
        for division in box.divisions
        for row in box.rows(endpoint.path, division)
    ]
    assert len(versions) == len(set(versions)) > 500
    assert min(versions) > 11_386_558_000
    strides = {b - a for a, b in zip(sorted(versions), sorted(versions)[1:], strict=False)}
    assert len(strides) > 5


def test_versions_can_begin_beyond_what_a_double_holds() -> None:
    box = new_box(first_version=2**53)
    rows = Caller(box).rows("sync/CRM/Contacts", {"$select": "Timestamp"})
    assert min(int(row["Timestamp"]) for row in rows) > 2**53
    assert any(int(float(row["Timestamp"])) != int(row["Timestamp"]) for row in rows)


def test_delete_leaves_a_tombstone_and_the_key_can_come_back(box: Sandbox, caller: Caller) -> None:
    key, old = next(iter(by_key(box, "sync/CRM/Accounts", caller.division).items()))
    box.delete(ACCOUNTS, caller.division, key)
    assert key not in by_key(box, ACCOUNTS, caller.division)
    assert tombstones(box, caller.division) == {(2, key)}
    grave = box.rows("sync/Deleted", caller.division)[0]
    assert grave["ID"] != key
    assert grave["Timestamp"] > old["Timestamp"]
    back = box.insert(ACCOUNTS, caller.division, {"ID": key, "Name": "Terug"})
    assert back["Timestamp"] > grave["Timestamp"]
    assert tombstones(box, caller.division) == {(2, key)}


def test_entities_without_a_sync_feed_leave_no_tombstone(box: Sandbox, caller: Caller) -> None:
    key = box.rows("financial/Journals", caller.division)[0]["ID"]
    box.delete("financial/Journals", caller.division, key)
    assert tombstones(box, caller.division) == set()


def test_tombstones_are_kept_for_two_months(box: Sandbox, caller: Caller) -> None:
    box.delete(ACCOUNTS, caller.division, box.rows(ACCOUNTS, caller.division)[0]["ID"])
    box.clock.advance(60 * 86400)
    assert len(box.rows("sync/Deleted", caller.division)) == 1
    box.clock.advance(2 * 86400)
    assert box.rows("sync/Deleted", caller.division) == []


def test_deleting_a_header_deletes_its_lines(box: Sandbox, caller: Caller) -> None:
    division = caller.division
    order = box.rows("salesorder/SalesOrders", division)[0]["OrderID"]
    lines = [
        r["ID"] for r in box.rows("salesorder/SalesOrderLines", division) if r["OrderID"] == order
    ]
    box.delete("salesorder/SalesOrders", division, order)
    assert tombstones(box, division) == {(32, order), *((33, line) for line in lines)}
    assert not by_key(box, "salesorder/SalesOrderLines", division).keys() & set(lines)


def test_touch_makes_ties(box: Sandbox, caller: Caller) -> None:
    box.clock.advance(5)
    box.touch("crm/Contacts", caller.division)
    rows = box.rows("sync/CRM/Contacts", caller.division)
    assert {row["Modified"] for row in rows} == {wall_clock(NOON.timestamp() + 5)}
    assert len({row["Timestamp"] for row in rows}) == len(rows)


def test_move_lowers_all_versions_and_says_so(box: Sandbox, caller: Caller) -> None:
    division, other = box.divisions
    box.delete(ACCOUNTS, division, box.rows(ACCOUNTS, division)[0]["ID"])
    paths = ("sync/CRM/Accounts", "sync/Financial/TransactionLines", "sync/Deleted")
    before = {path: min(row["Timestamp"] for row in box.rows(path, division)) for path in paths}
    order = [
        row["ID"] for row in sorted(box.rows(paths[0], division), key=lambda r: r["Timestamp"])
    ]
    untouched = box.rows(paths[0], other)
    box.move_division(division)
    for path in paths:
        assert max(row["Timestamp"] for row in box.rows(path, division)) < before[path]
    moved = [
        row["ID"] for row in sorted(box.rows(paths[0], division), key=lambda r: r["Timestamp"])
    ]
    assert sorted(moved) == sorted(order)
    assert moved != order
    assert box.rows(paths[0], other) == untouched
    companies = by_key(box, "system/Divisions", division, "Code")
    assert companies[division]["DivisionMoveDate"] == wall_clock(NOON.timestamp())
    assert companies[other]["DivisionMoveDate"] is None
    new = box.insert(ACCOUNTS, division, {"Name": "Na de verhuizing"})["Timestamp"]
    assert max(r["Timestamp"] for r in box.rows(paths[0], division)) == new < before[paths[0]]
    box.move_division(division)
    assert max(row["Timestamp"] for row in box.rows(paths[0], division)) < new


def test_mistakes_are_reported(box: Sandbox, caller: Caller) -> None:
    key = box.rows(ACCOUNTS, caller.division)[0]["ID"]
    with pytest.raises(ValueError, match="no column Naam"):
        box.insert(ACCOUNTS, caller.division, {"Naam": "x"})
    with pytest.raises(ValueError, match="already"):
        box.insert(ACCOUNTS, caller.division, {"ID": key})
    with pytest.raises(ValueError, match="no endpoint"):
        box.rows("crm/accounts", caller.division)
    with pytest.raises(ValueError, match="derived"):
        box.insert("read/financial/ReceivablesList", caller.division, {})
    with pytest.raises(ValueError, match="no fault"):
        box.fault("sunshine")
    with pytest.raises(ValueError, match="rights"):
        box.deny(caller.division, ACCOUNTS, "maybe")


def test_rights_can_be_denied_and_given_back(box: Sandbox, caller: Caller) -> None:
    options = {"$select": "ID"}
    box.deny(caller.division, "crm/Contacts")
    answer = caller.get("crm/Contacts", options)
    assert (answer.status_code, error_text(answer)[:9]) == (403, "Forbidden")
    assert caller.get("crm/Addresses", options).status_code == 200
    assert caller.get("crm/Contacts", options, division=box.divisions[1]).status_code == 200
    box.deny(caller.division, "crm/Contacts", "empty")
    assert caller.get("crm/Contacts", options).json() == {"d": {"results": []}}
    assert caller.get("crm/Contacts/$count", headers={"Accept": "*/*"}).text == "0"
    key = box.rows("crm/Contacts", caller.division)[0]["ID"]
    assert caller.get(f"crm/Contacts(guid'{key}')").status_code == 404
    box.deny(caller.division, "crm/Contacts", "module")
    assert "module" in error_text(caller.get("crm/Contacts", options))
    box.allow(caller.division, "crm/Contacts")
    assert caller.get("crm/Contacts", options).json()["d"]["results"]


@pytest.mark.parametrize("reason", ["BlockedUser", "LicenseExpired", "NoDivisionAccess"])
def test_whole_division_can_be_denied_for_a_reason(
    box: Sandbox, caller: Caller, reason: str
) -> None:
    box.deny(caller.division, how=reason)
    answer = caller.get("crm/Contacts", {"$select": "ID"})
    assert (answer.status_code, answer.headers["Reason"]) == (403, reason)
    box.allow(caller.division)
    assert caller.get("crm/Contacts", {"$select": "ID"}).status_code == 200


def test_blocked_division(box: Sandbox, caller: Caller) -> None:
    box.block_division(caller.division, 5)
    answer = caller.get("crm/Contacts", {"$select": "ID"})
    assert (answer.status_code, answer.headers["Reason"]) == (403, "DivisionBlocked")
    rows = caller.get(
        "system/Divisions", {"$select": "Code,BlockingStatus"}, division=box.divisions[1]
    )
    assert [row["BlockingStatus"] for row in rows.json()["d"]["results"]] == [5, 0]
    box.block_division(caller.division, 0)
    assert caller.get("crm/Contacts", {"$select": "ID"}).status_code == 200


def test_same_seed_same_data() -> None:
    first, second, other = (new_box(seed=seed) for seed in (1, 1, 2))
    division = first.divisions[0]
    other.rows("sync/CRM/Contacts", division)
    second.rows("hrm/Costcenters", division)
    for path in ("sync/Financial/TransactionLines", "hrm/Costcenters", "sync/CRM/Accounts"):
        assert first.rows(path, division) == second.rows(path, division)
        assert first.rows(path, division) != other.rows(path, division)


def test_reset_brings_back_the_first_data(box: Sandbox, caller: Caller) -> None:
    before = box.rows(ACCOUNTS, caller.division)
    box.delete(ACCOUNTS, caller.division, before[0]["ID"])
    box.consume(caller.division, 50)
    caller.get("crm/Contacts", {"$select": "ID"})
    box.reset()
    assert box.rows(ACCOUNTS, caller.division) == before
    assert box.requests == []
    assert box.state.limits.used(caller.division) == (0, 0)
    assert caller.get("crm/Contacts", {"$select": "ID"}).status_code == 200


def test_requests_are_logged(box: Sandbox, caller: Caller) -> None:
    answer = caller.get("crm/Contacts", {"$select": "ID", "$filter": "IsMainContact eq true"})
    request = box.requests[-1]
    assert (request.method, request.path, request.division) == (
        "GET",
        "crm/Contacts",
        caller.division,
    )
    assert request.query == {"$select": "ID", "$filter": "IsMainContact eq true"}
    assert request.status == 200
    assert request.rows == len(answer.json()["d"]["results"])
    assert request.at == NOON.timestamp()
    assert request.bytes == len(answer.content)
    caller.get("crm/Contacts/$count", headers={"Accept": "*/*"})
    caller.follow("/api/v1/current/Me")
    assert [(r.path, r.division) for r in box.requests[-2:]] == [
        ("crm/Contacts/$count", caller.division),
        ("current/Me", None),
    ]


def test_sync_timestamp_is_the_first_row_at_or_after_a_date(box: Sandbox, caller: Caller) -> None:
    rows = box.rows("sync/Financial/TransactionLines", caller.division)
    since = NOON.replace(tzinfo=None) - timedelta(days=100)
    later = [row for row in rows if row["Modified"] >= since]
    options = {"modified": f"datetime'{since.isoformat()}'", "endPoint": "'TransactionLines'"}
    (found,) = caller.get("read/sync/Sync/SyncTimestamp", options).json()["d"]
    assert int(found["TimeStampAsBigInt"]) == min(row["Timestamp"] for row in later)
    assert found["API"] == "TransactionLines"
    options["modified"] = "datetime'2100-01-01'"
    assert caller.get("read/sync/Sync/SyncTimestamp", options).json() == {"d": []}
