"""Refusals and oddities that a client meets only now and then, each as the API facts have it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from exact_source.sandbox import Sandbox
from exact_source.sandbox.http.errors import DUTCH, in_dutch
from tests.support.sandbox_kit import BASE_URL, NOON, Caller, error_text, new_box

SELECT = {"$select": "ID"}
BULK_WITHOUT_MODIFIED = "bulk/CRM/Addresses"


def test_bulk_demands_select_also_of_a_single_row() -> None:
    caller = Caller(new_box())
    assert caller.get("bulk/CRM/Contacts", {"$top": "1"}).status_code == 400
    assert caller.get("crm/Quotations", {"$top": "1"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("crm/Contacts", "Modified ge datetime'1900-01-01T00:00:00'"),
        ("purchaseorder/PurchaseOrders", "Modified ge datetime'1900-01-01T00:00:00'"),
        ("crm/QuotationLines", "LineNumber ge 0"),
        (BULK_WITHOUT_MODIFIED, "ID ne guid'00000000-0000-0000-0000-000000000000'"),
    ],
)
def test_strict_demands_a_filter_wherever_there_is_a_sync_sibling(path: str, good: str) -> None:
    select = {"$select": "Division"}
    strict, usual = Caller(new_box(strict=True)), Caller(new_box())
    refused = strict.get(path, select)
    assert refused.status_code == 400
    assert "mandatory filtering" in error_text(refused)
    assert strict.get(path, {**select, "$filter": good}).status_code == 200
    assert usual.get(path, select).status_code == 200


def test_strict_asks_nothing_of_endpoints_without_a_sibling() -> None:
    assert Caller(new_box(strict=True)).get("financial/Journals", SELECT).status_code == 200


def test_strict_counts_with_a_filter_only() -> None:
    caller = Caller(new_box(strict=True))
    url = f"/api/v1/{caller.division}/crm/Contacts/$count"
    assert caller.follow(url, {"Accept": "*/*"}).status_code == 400


def test_siblings_are_found_by_their_names() -> None:
    found = {e.path for e in new_box().state.catalogue if e.has_sync_sibling}
    assert {"crm/Accounts", "bulk/CRM/Accounts", "purchaseorder/PurchaseOrders"} <= found
    assert {"financialtransaction/TransactionLines", "salesorder/SalesOrders"} <= found
    assert not found & {"crm/BankAccounts", "financial/Journals", "sync/CRM/Accounts"}


@pytest.mark.parametrize("start", DUTCH)
def test_a_dutch_user_gets_dutch_texts(start: str) -> None:
    assert in_dutch(f"{start}: Name") == f"{DUTCH[start]}: Name"


def test_the_language_is_that_of_the_user() -> None:
    caller = Caller(new_box(language="nl"))
    wrong = {"$top": "all"}
    assert error_text(caller.get("crm/Contacts", wrong)).startswith("Ongeldige")
    atom = caller.get("crm/Contacts", wrong, headers={"Accept": "application/atom+xml"})
    assert "Ongeldige" in "".join(ElementTree.fromstring(atom.content).itertext())


def test_an_answer_has_a_largest_size() -> None:
    box = new_box(page_size=4)
    caller = Caller(box)
    body = caller.get("crm/Contacts", SELECT).content
    box.settings.response_limit = len(body)
    assert caller.get("crm/Contacts", SELECT).status_code == 200
    box.settings.response_limit -= 1
    assert caller.get("crm/Contacts", SELECT).status_code == 500
    assert box.requests[-1].rows == 0


def test_a_z_makes_another_moment_of_the_digits() -> None:
    """At noon in Delft it is 10:00 UTC in summer."""
    box = new_box()
    box.clock.set(NOON)
    row = box.insert("crm/Contacts", box.divisions[0], {"FullName": "Nieuw"})
    assert row["Modified"].isoformat() == "2026-06-15T14:00:00"
    caller = Caller(box)

    def found(literal: str) -> bool:
        query = {**SELECT, "$filter": f"FullName eq 'Nieuw' and Modified ge datetime'{literal}'"}
        return bool(caller.rows("crm/Contacts", query))

    assert [found(f"2026-06-15T{hour}:00:00") for hour in (12, 14, 15)] == [True, True, False]
    assert [found(f"2026-06-15T{hour}:00:00Z") for hour in (12, 13, 14)] == [True, False, False]


@pytest.mark.parametrize("accept", ["application/json", "application/atom+xml"])
@pytest.mark.parametrize("path", ["sync/CRM/Accounts", "crm/Contacts", "sync/Deleted"])
def test_the_address_that_a_row_carries_leads_to_it(path: str, accept: str) -> None:
    box = new_box()
    box.delete(
        "crm/Accounts", box.divisions[0], box.rows("crm/Accounts", box.divisions[0])[0]["ID"]
    )
    caller = Caller(box)
    for row in caller.rows(path, SELECT)[:3]:
        uri = row["__metadata"]["uri"]
        assert uri.startswith(BASE_URL)
        answer = caller.follow(uri.removeprefix(BASE_URL) + "?$select=ID", {"Accept": accept})
        assert answer.status_code == 200
        assert row["ID"] in answer.text


def test_an_outdated_version_is_not_found() -> None:
    box = new_box()
    caller = Caller(box)
    uri = caller.rows("sync/CRM/Accounts", SELECT)[0]["__metadata"]["uri"].removeprefix(BASE_URL)
    box.touch("crm/Accounts", caller.division)
    assert caller.follow(uri).status_code == 404


@pytest.fixture
def box() -> Sandbox:
    return new_box()


def test_a_deletion_of_an_unknown_kind_can_be_listed(box: Sandbox) -> None:
    division, caller = box.divisions[0], Caller(box)
    told = box.insert("sync/Deleted", division, {"EntityType": 999, "EntityKey": box.state.user})
    query = {"$select": "EntityType,EntityKey,Division,DeletedDate", "$filter": "Timestamp gt 1L"}
    (row,) = caller.rows("sync/Deleted", query)
    assert (row["EntityType"], row["EntityKey"]) == (999, box.state.user)
    assert (row["Division"], row["DeletedDate"] is None) == (division, False)
    assert told["Timestamp"] > 1


def test_a_listed_deletion_disappears_after_two_months(box: Sandbox) -> None:
    box.insert("sync/Deleted", box.divisions[0], {"EntityType": 2})
    box.clock.advance(62 * 86_400)
    assert box.rows("sync/Deleted", box.divisions[0]) == []
