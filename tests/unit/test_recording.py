"""Masks of a recording: no original survives, sums stay zero, joins stay joins."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source.client.recording import Recorder, new_masks
from exact_source.client.recording.documents import Documents, leaks_of, masked_leaf
from exact_source.errors import ConfigurationError

SITE = "https://start.exactonline.nl"
LETTERS = string.ascii_letters + string.digits + "éüßçØ"
TEXTS = st.text(LETTERS + " .,-&@/'\"", min_size=1, max_size=30).filter(
    lambda text: any(c in LETTERS for c in text)
)
GUIDS = st.uuids(version=4).map(str)
CENTS = st.integers(-(10**9), 10**9)
DIVISION = 123456


@st.composite
def entries(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Lines of entries whose sums are zero, with accounts that several of them have."""
    accounts = draw(st.lists(st.tuples(GUIDS, TEXTS), min_size=1, max_size=4))
    rows = []
    for entry in draw(st.lists(GUIDS, min_size=1, max_size=4, unique=True)):
        cents = draw(st.lists(CENTS, min_size=1, max_size=4))
        for amount in (*cents, -sum(cents)):
            account, name = draw(st.sampled_from(accounts))
            rows.append(
                {
                    "__metadata": {
                        "uri": f"{SITE}/api/v1/{DIVISION}/x/TransactionLines(guid'{account}')",
                        "type": "Exact.Web.Api.Models.TransactionLine",
                    },
                    "EntryID": entry,
                    "Account": account,
                    "AccountName": name,
                    "AmountDC": Decimal(amount) / 100,
                    "Date": f"/Date({draw(st.integers(0, 20_000)) * 86_400_000})/",
                    "Division": DIVISION,
                    "Timestamp": "11386558735",
                    "InvoiceNumber": draw(st.integers(0, 10**6)),
                }
            )
    return rows


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part, name)
    else:
        yield name, value


def plain(rows: Any) -> bytes:
    def number(value: Any) -> Any:
        return float(value)

    return json.dumps({"d": {"results": rows}}, default=number).encode()


PATH = "financialtransaction/TransactionLines"
URL = f"{SITE}/api/v1/{DIVISION}/{PATH}?$select=ID"


def masked(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Any]:
    masks = new_masks()
    documents = Documents(masks, SITE)
    documents.address(URL)
    body = documents.body(PATH, URL, 200, "application/json;charset=utf-8", plain(rows))
    assert leaks_of(masks, PATH, body) == []
    found: list[dict[str, Any]] = json.loads(body, parse_float=Decimal)["d"]["results"]
    return found, masks


@given(entries())
def test_no_original_survives(rows: list[dict[str, Any]]) -> None:
    found, _ = masked(rows)
    kinds = {"EntryID", "Account", "AccountName"}
    before = {value for name, value in leaves(rows) if name in kinds}
    after = {value for name, value in leaves(found) if name in kinds}

    assert not before & after
    assert not {text.strip() for text in before} & {text.strip() for text in after}
    text = json.dumps(found, default=str)
    assert not [guid for guid in before if len(guid) == 36 and guid in text]
    assert str(DIVISION) not in {str(value) for _, value in leaves(found)}
    for one, other in zip(rows, found, strict=True):
        assert one["Date"] != other["Date"]
        assert not one["AmountDC"] or Decimal(one["AmountDC"]) != Decimal(other["AmountDC"])
        assert one["Timestamp"] == other["Timestamp"]


@given(entries())
def test_sums_stay_zero_and_joins_stay_joins(rows: list[dict[str, Any]]) -> None:
    found, masks = masked(rows)
    sums: dict[str, Decimal] = {}
    for row in found:
        sums[row["EntryID"]] = sums.get(row["EntryID"], Decimal(0)) + Decimal(row["AmountDC"])

    assert set(sums.values()) == {Decimal(0)}
    for name in ("EntryID", "Account", "AccountName"):
        pairs = {
            (str(a[name]).strip(), str(b[name]).strip()) for a, b in zip(rows, found, strict=True)
        }
        assert len({one for one, _ in pairs}) == len(pairs)
    for one, other in zip(rows, found, strict=True):
        assert Decimal(other["AmountDC"]) == Decimal(one["AmountDC"]) * masks.secrets.factor
        assert len(one["AccountName"]) == len(other["AccountName"])
        UUID(other["EntryID"])


@pytest.mark.parametrize(
    ("path", "field", "value", "is_kept"),
    [
        ("crm/Addresses", "Latitude", Decimal("52.01"), False),
        ("system/Divisions", "Code", 123456, False),
        ("documents/DocumentTypes", "ForDivision", 123456, False),
        ("payroll/Employees", "EmployeeHID", 17, False),
        ("salesorder/SalesOrderLines", "LineNumber", 3, True),
        ("salesorder/SalesOrderLines", "Quantity", Decimal("2.5"), True),
        ("financialtransaction/TransactionLines", "ExchangeRate", Decimal("1.08"), True),
        ("financialtransaction/TransactionLines", "Timestamp", "11386558735", True),
    ],
)
def test_what_tells_of_a_company_is_masked(
    path: str, field: str, value: Any, is_kept: bool
) -> None:
    assert (masked_leaf(new_masks(), path, field, value) == value) is is_kept


@given(TEXTS, st.integers(0, 12))
def test_padding_does_not_matter(text: str, blanks: int) -> None:
    masks = new_masks()
    core = text.strip()
    assert masks.text(core + " " * blanks) == masks.text(core) + " " * blanks
    assert masks.text(" " * blanks + core) == " " * blanks + masks.text(core)


@pytest.mark.parametrize("field", ["AccountName", "Account", "AmountDC", "Date", "InvoiceNumber"])
def test_the_scanner_finds_what_was_not_masked(field: str) -> None:
    masks = new_masks()
    documents = Documents(masks, SITE)
    row = {
        "AccountName": "Jansen", "Account": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "AmountDC": 12.5, "Date": "/Date(86400000)/", "InvoiceNumber": 77,
    }  # fmt: skip
    body = documents.body(PATH, URL, 200, "application/json", plain([row]))
    good = json.loads(body, parse_float=Decimal)["d"]["results"][0]
    assert leaks_of(masks, PATH, body) == []

    bad = {name: float(v) if isinstance(v, Decimal) else v for name, v in good.items()}
    bad[field] = row[field]
    assert field in leaks_of(masks, PATH, json.dumps({"d": [bad]}))


def test_addresses_are_masked_like_rows() -> None:
    masks = new_masks()
    documents = Documents(masks, SITE)
    guid = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    url = (
        f"{SITE}/api/v1/{DIVISION}/crm/Accounts(guid'{guid}')?$filter=Code%20eq%20'Jansen'%20and%20"
        "Modified%20ge%20datetime'2026-01-31T10%3A00%3A00'&$skiptoken=11386558735L"
    )
    text = documents.address(url)

    assert not {"Jansen", guid, str(DIVISION), "2026-01-31"} & set(
        text.replace("/", "'").split("'")
    )
    assert masks.guid(guid) in text
    assert masks.text("Jansen") in text
    assert "$skiptoken=11386558735L" in text
    assert f"/{masks.division(DIVISION)}/crm/Accounts(" in text


def test_no_secret_header_and_no_unknown_body_is_kept(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "kept", SITE)
    request = httpx.Request("GET", URL, headers={"Authorization": "Bearer geheim"})
    headers = {"Set-Cookie": "session=geheim", "X-RateLimit-Limit": "5000"}
    for kind, body in (("text/html", "<html>geheim"), ("application/json", '{"d": geheim')):
        recorder.observe(
            request, httpx.Response(200, headers={**headers, "Content-Type": kind}, text=body)
        )
    recorder.check()

    kept = "".join(f.read_text() for f in (tmp_path / "kept").rglob("*.json"))
    assert "geheim" not in kept
    assert "5000" in kept


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="new folder"):
        Recorder(tmp_path, SITE)
    assert not (tmp_path / "replies").exists()


def test_what_is_not_masked_stops_the_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "kept", SITE)
    reply = httpx.Response(
        200,
        headers={"Content-Type": "application/json"},
        content=plain([{"AccountName": "Jansen"}]),
    )
    recorder.observe(httpx.Request("GET", URL), reply)
    (file,) = (tmp_path / "kept" / "replies").iterdir()
    document = json.loads(file.read_text())
    document["body"] = plain([{"AccountName": "Jansen"}]).decode()
    file.write_text(json.dumps(document))

    with pytest.raises(ConfigurationError, match="AccountName"):
        recorder.check()
