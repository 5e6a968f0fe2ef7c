from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import pytest

from exact_source.sandbox import Sandbox, SandboxClock
from exact_source.sandbox.clock import wall_clock
from exact_source.sandbox.odata.payload import json_value, milliseconds
from tests.support.sandbox_kit import ALL_ACCOUNTS, BASE_URL, NOON, Caller, error_text, new_box

ATOM = {"Accept": "application/atom+xml"}
A = "{http://www.w3.org/2005/Atom}"
D = "{http://schemas.microsoft.com/ado/2007/08/dataservices}"
M = "{http://schemas.microsoft.com/ado/2007/08/dataservices/metadata}"


@pytest.fixture(scope="module")
def box() -> Sandbox:
    return new_box(page_size=5)


@pytest.fixture
def caller(box: Sandbox) -> Caller:
    return Caller(box)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("instant", "digits"),
    [
        ("2026-06-15T12:00:00+00:00", "2026-06-15T14:00:00"),
        ("2026-01-15T12:00:00+00:00", "2026-01-15T13:00:00"),
        ("2026-10-25T00:30:00+00:00", "2026-10-25T02:30:00"),
        ("2026-10-25T01:30:00+00:00", "2026-10-25T02:30:00"),
        ("2026-06-15T12:00:00.005+00:00", "2026-06-15T14:00:00.003"),
        ("2026-06-15T12:00:00.008+00:00", "2026-06-15T14:00:00.007"),
        ("2026-06-15T12:00:00.999+00:00", "2026-06-15T14:00:00.997"),
    ],
)
def test_stored_time_is_dutch_wall_clock_in_steps_of_a_300th(instant: str, digits: str) -> None:
    assert wall_clock(moment(instant).timestamp()) == moment(digits)


@pytest.mark.parametrize(
    ("digits", "ms"),
    [
        ("2012-10-26T00:00:00", 1351209600000),
        ("1970-01-01T00:00:00", 0),
        ("1961-05-04T00:00:00.003", -273369599997),
    ],
)
def test_date_counts_the_digits_as_if_they_were_utc(digits: str, ms: int) -> None:
    assert milliseconds(moment(digits)) == ms
    assert json_value(moment(digits), "t") == f"/Date({ms})/"


@pytest.mark.parametrize(
    ("value", "type_code", "wire"),
    [
        (11386558735, "l", "11386558735"),
        (12, "i", 12),
        (500.0, "m", 500),
        (12.34, "m", 12.34),
        (True, "b", True),
        (None, "l", None),
        ("not a number", "m", "not a number"),
    ],
)
def test_values_in_json(value: object, type_code: str, wire: object) -> None:
    found = json_value(value, type_code)
    assert found == wire
    assert type(found) is type(wire)


def test_row_in_json(caller: Caller) -> None:
    answer = caller.get(
        "sync/CRM/Accounts", {"$select": "ID,Code,Modified,Timestamp,Logo,Division"}
    )
    assert answer.headers["DataServiceVersion"] == "2.0;"
    assert answer.headers["content-type"] == "application/json;charset=utf-8"
    row = answer.json()["d"]["results"][0]
    assert row.keys() == {"__metadata", "ID", "Code", "Modified", "Timestamp", "Logo", "Division"}
    assert row["ID"] == row["ID"].lower()
    assert (len(row["Code"]), row["Code"][0]) == (18, " ")
    assert isinstance(row["Timestamp"], str)
    assert int(row["Timestamp"]) > 2**31
    assert row["Logo"] is None
    assert row["Division"] == caller.division
    assert "\\/Date(" in answer.text
    assert row["__metadata"]["uri"].endswith(f"sync/CRM/Accounts({row['Timestamp']}L)")


def test_steps_of_modified_end_in_0_3_or_7(box: Sandbox, caller: Caller) -> None:
    rows = caller.rows(
        "bulk/Financial/TransactionLines", {"$select": "Modified", "$filter": ALL_ACCOUNTS}
    )
    assert {json.loads(row["Modified"][6:-2]) % 10 for row in rows} == {0, 3, 7}


def test_date_header_is_the_sandbox_clock(caller: Caller) -> None:
    assert caller.get("crm/Contacts").headers["Date"] == "Mon, 15 Jun 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("accept", "form", "status", "media_type"),
    [
        ("application/json", None, 200, "application/json"),
        ("application/json;odata=verbose", None, 200, "application/json"),
        ("*/*", None, 200, "application/atom+xml"),
        ("application/atom+xml", None, 200, "application/atom+xml"),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", None, 200, "application/atom+xml"),
        ("*/*", "json", 200, "application/json"),
        ("application/json", "atom", 200, "application/atom+xml"),
        ("application/xml", None, 415, "application/xml"),
        ("text/csv", None, 415, "application/xml"),
    ],
)
def test_form_of_the_answer(
    caller: Caller, accept: str, form: str | None, status: int, media_type: str
) -> None:
    options = {"$select": "ID"} | ({"$format": form} if form else {})
    answer = caller.get("crm/Contacts", options, headers={"Accept": accept})
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith(media_type)


def texts(entry: ElementTree.Element) -> dict[str, str | None]:
    properties = entry.find(f"{A}content/{M}properties")
    assert properties is not None
    return {p.tag.removeprefix(D): None if p.get(f"{M}null") else p.text or "" for p in properties}


def test_atom_feed(box: Sandbox, caller: Caller) -> None:
    options = {
        "$select": "ID,Name,Modified,CreditLineSales,IsSales,Remarks",
        "$inlinecount": "allpages",
    }
    options["$filter"] = ALL_ACCOUNTS
    answer = caller.get("crm/Accounts", options, headers=ATOM)
    feed = ElementTree.fromstring(answer.content)
    assert feed.tag == f"{A}feed"
    assert feed.findtext(f"{M}count") == str(len(box.rows("crm/Accounts", caller.division)))
    entries = feed.findall(f"{A}entry")
    assert len(entries) == 5
    stored = {row["ID"]: row for row in box.rows("crm/Accounts", caller.division)}
    for entry in entries:
        found = texts(entry)
        row = stored[str(found["ID"])]
        assert found["Name"] == row["Name"]
        assert found["Modified"] is not None
        assert moment(found["Modified"]) == row["Modified"]
        assert found["IsSales"] == str(row["IsSales"]).lower()
        assert float(found["CreditLineSales"] or "nan") == row["CreditLineSales"]
        assert (found["Remarks"] is None) == (row["Remarks"] is None)
    types = {
        p.tag.removeprefix(D): p.get(f"{M}type") for p in entries[0].iter() if p.tag.startswith(D)
    }
    assert types["ID"] == "Edm.Guid"
    assert types["Modified"] == "Edm.DateTime"
    assert types["CreditLineSales"] == "Edm.Double"
    assert types["Name"] is None
    link = next(e for e in feed.findall(f"{A}link") if e.get("rel") == "next")
    following = caller.follow(link.get("href") or "", ATOM)
    assert len(ElementTree.fromstring(following.content).findall(f"{A}entry")) > 0


def test_atom_entry_by_key_with_expanded_lines(box: Sandbox, caller: Caller) -> None:
    key = box.rows("salesinvoice/SalesInvoices", caller.division)[0]["InvoiceID"]
    path = f"salesinvoice/SalesInvoices(guid'{key}')"
    entry = ElementTree.fromstring(caller.get(path, headers=ATOM).content)
    assert entry.tag == f"{A}entry"
    assert texts(entry)["InvoiceID"] == key
    assert any(str(e.get("rel")).endswith("/related/SalesInvoiceLines") for e in entry)
    entry = ElementTree.fromstring(
        caller.get(path, {"$expand": "SalesInvoiceLines"}, headers=ATOM).content
    )
    assert entry.find(f".//{M}inline/{A}feed/{A}entry") is not None


def test_errors_are_json_or_xml_as_the_rows_would_be(caller: Caller) -> None:
    assert error_text(caller.get("crm/Quotations")).startswith("Please add a $select")
    error = ElementTree.fromstring(caller.get("crm/Quotations", headers=ATOM).content)
    assert error.tag == f"{M}error"
    assert str(error.findtext(f"{M}message")).startswith("Please add a $select")


def test_control_characters_and_byte_order_marks_can_be_ordered(
    box: Sandbox, caller: Caller
) -> None:
    path, options = "crm/Contacts", {"$select": "FullName"}
    box.fault("control-character")
    answer = caller.get(path, options, headers=ATOM)
    assert re.search(rb"<d:\w+>\x0b\w", answer.content)  # in a text, where people paste it
    box.fault("bom")
    assert caller.get(path, options, headers=ATOM).content.startswith(b"\xef\xbb\xbf<?xml")


def test_metadata_lists_keys_and_types_of_a_service(caller: Caller) -> None:
    any_type = {"Accept": "*/*"}
    answer = caller.get("crm/$metadata", headers=any_type)
    edm = "{http://schemas.microsoft.com/ado/2006/04/edm}"
    root = ElementTree.fromstring(answer.content)
    types = {
        f"{schema.get('Namespace')}.{e.get('Name')}": e
        for schema in root.iter(f"{edm}Schema")
        for e in schema.iter(f"{edm}EntityType")
    }
    sets = {e.get("Name"): str(e.get("EntityType")) for e in root.iter(f"{edm}EntitySet")}
    assert sets["Accounts"] == "Exact.Web.Api.Models.Account"
    assert sets["Quotations"] == "Exact.Web.Api.Models.CRM.Quotation"
    assert sorted(sets.values()) == sorted(types)
    accounts = types[sets["Accounts"]]
    key = accounts.find(f"{edm}Key/{edm}PropertyRef")
    assert key is not None
    assert key.get("Name") == "ID"
    columns = {p.get("Name"): p.get("Type") for p in accounts.iter(f"{edm}Property")}
    assert columns["Modified"] == "Edm.DateTime"
    assert caller.get("CRM/$metadata", headers=any_type).text == answer.text
    assert caller.get("nope/$metadata", headers=any_type).status_code == 404
    sync = caller.get("sync/CRM/$metadata", headers=any_type)
    assert '<PropertyRef Name="Timestamp" />' in sync.text


def test_columns_come_and_go() -> None:
    box = new_box()
    caller = Caller(box)
    box.state.catalogue.add_column("crm/Contacts", "Pronouns", "s")
    box.state.catalogue.drop_column("crm/Contacts", "Gender")
    key = box.insert("crm/Contacts", caller.division, {"Pronouns": "hen", "FullName": "K"})["ID"]
    assert caller.get(f"crm/Contacts(guid'{key}')").json()["d"]["Pronouns"] == "hen"
    assert caller.get("crm/Contacts", {"$select": "ID,Gender"}).status_code == 400
    assert "Pronouns" in caller.get("crm/$metadata", headers={"Accept": "*/*"}).text


def test_current_me(box: Sandbox, caller: Caller) -> None:
    answer = caller.follow(
        f"{BASE_URL}/api/v1/current/Me?$select=CurrentDivision,ServerTime,ServerUtcOffset"
    )
    (row,) = answer.json()["d"]["results"]
    assert row["CurrentDivision"] == caller.division
    assert (row["ServerTime"], row["ServerUtcOffset"]) == ("2026-06-15T14:00:00", 7200)


@pytest.mark.parametrize("path", ["system/Divisions", "hrm/Divisions", "system/AllDivisions"])
def test_lists_of_divisions(box: Sandbox, caller: Caller, path: str) -> None:
    rows: list[dict[str, Any]] = caller.rows(path, {"$select": "Code,BlockingStatus,Status"})
    assert [row["Code"] for row in rows] == box.divisions
    assert {row["BlockingStatus"] for row in rows} == {0}


def test_clock_moves_freezes_and_runs() -> None:
    clock = SandboxClock(NOON, frozen=True)
    clock.advance(1.5)
    assert clock.now() == NOON.timestamp() + 1.5
    clock.run()
    assert not clock.frozen
    assert clock.now() >= NOON.timestamp() + 1.5
    clock.set(NOON.timestamp())
    clock.freeze()
    assert clock.now() - NOON.timestamp() < 5
    with pytest.raises(ValueError, match="aware"):
        clock.set(NOON.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("path", "column", "length"),
    [
        ("crm/Accounts", "Country", 3),
        ("crm/Accounts", "Language", 10),
        ("crm/Addresses", "State", 3),
        ("system/Divisions", "Legislation", 3),
        ("financial/Journals", "BankAccountCountry", 3),
        ("logistics/Items", "Unit", 8),
        ("vat/VATCodes", "Code", 3),
        ("payroll/Employees", "Nationality", 3),
    ],
)
def test_short_texts_are_padded_as_their_database_columns_are(
    box: Sandbox, caller: Caller, path: str, column: str, length: int
) -> None:
    (key,) = box.state.catalogue.endpoint(path).key
    row = box.rows(path, caller.division)[0]
    box.update(path, caller.division, row[key], {column: "X"})
    query = {"$select": column, "$filter": f"{column} eq 'X'"}
    (found,) = caller.rows(path, query)
    assert found[column] == "X".ljust(length)
    assert (
        f'xml:space="preserve">{"X".ljust(length)}<' in caller.get(path, query, headers=ATOM).text
    )
    box.update(path, caller.division, row[key], {column: row[column]})


def test_the_language_of_me_is_not_padded(caller: Caller) -> None:
    (row,) = caller.follow(f"{BASE_URL}/api/v1/current/Me").json()["d"]["results"]
    assert row["Language"] == "NL"
