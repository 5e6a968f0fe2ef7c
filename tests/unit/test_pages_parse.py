"""One answer of Exact Online becomes one typed table, whatever its form and its values."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from exact_source.catalogue import load_catalogue
from exact_source.errors import ContractError
from exact_source.odata import arrow_json as fast
from exact_source.odata.page import (
    BrokenPageError,
    Page,
    PageSchema,
    Surprise,
    concat,
    max_of,
    parse_page,
)
from exact_source.odata.page_schema import is_code

ENTITIES = load_catalogue().entities
ID = "0b9e4a63-1111-4aaa-8aaa-0123456789ab"


def schema_of(name: str, fields: list[str] | None = None, **options: Any) -> PageSchema:
    entity = ENTITIES[name]
    feed = entity.feeds.get("sync") or next(iter(entity.feeds.values()))
    return PageSchema(entity, feed, fields, **options)


def at(*parts: int) -> datetime:
    """Date and time as Exact Online shows it, without a zone."""
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


FEED = ENTITIES["sync_transaction_lines"].feeds["sync"]
LINES = PageSchema(replace(ENTITIES["sync_transaction_lines"], key=("Timestamp",)), FEED)


def parse(*rows: Any, schema: PageSchema = LINES, division: int = 7) -> Page:
    body = json.dumps({"d": {"results": rows}}).encode()
    return parse_page(body, schema, division=division, where="lines of 7")


def parse_body(body: bytes, schema: PageSchema = LINES) -> Page:
    return parse_page(body, schema, division=7, where="lines of 7")


def value(column: str, field: str, sent: Any, schema: PageSchema = LINES) -> Any:
    """What a column holds; with a second row, as all of a column must not share one fate."""
    page = parse({"Timestamp": "1", field: sent}, {"Timestamp": "2"}, schema=schema)
    return page.table[column][0].as_py()


def is_fast(page_body: bytes, schema: PageSchema = LINES) -> bool:
    return fast.read([page_body], schema) is not None


# --- forms


@pytest.mark.parametrize(
    ("body", "rows", "next_url", "count"),
    [
        (b'{"d":{"results":[{"Timestamp":"1"}],"__next":"https://x/?a=1"}}', 1, "https://x/?a=1", None),
        (b'{"d":{"results":[{"Timestamp":"1"}]}}', 1, None, None),
        (b'{"d":{"results":[{"Timestamp":"1"}],"__next":null}}', 1, None, None),
        (b'{"d":{"results":[]}}', 0, None, None),
        (b'{"d":{"results":[],"__next":"u"}}', 0, "u", None),
        (b'{"d":{"__count":"123","results":[{"Timestamp":"1"},{"Timestamp":"2"}]}}', 2, None, 123),
        (b'{"d":{"__count":123,"results":[{"Timestamp":"1"}]}}', 1, None, 123),
        (b'{"d":{"__count":"many","results":[{"Timestamp":"1"}]}}', 1, None, None),
        (b'{"d":{"__next":"u","__count":"1","results":[{"Timestamp":"1"}]}}', 1, "u", 1),
        (b'{"d":[{"Timestamp":"1"},{"Timestamp":"2"}]}', 2, None, None),
        (b'{"d":[]}', 0, None, None),
        (b'{"d":{"Timestamp":"1"}}', 1, None, None),
        (b'{"d":{"__metadata":{"uri":"u"}}}', 1, None, None),
        (b'{"d":{"0":{"Timestamp":"1"},"1":{"Timestamp":"2"}}}', 2, None, None),
        (b'\xef\xbb\xbf{"d":[{"Timestamp":"1"}]}', 1, None, None),
        (b'\xef\xbb\xbf {"d": {"Timestamp": "1"}} ', 1, None, None),
        (b' {\r\n "d" : {\r\n "results" : [\r\n {"Timestamp":"1"}\r\n]}}\r\n', 1, None, None),
        (b'\n{"d"\n:\n[\n{"Timestamp":"1"}\n,\n{"Timestamp":"2"}\n]\n}\n', 2, None, None),
        (rb'{"\u0064":{"\u0072esults":[{"Timest\u0061mp":"1"}],"__ne\u0078t":"u"}}', 1, "u", None),
    ],
)  # fmt: skip
def test_known_forms(body: bytes, rows: int, next_url: str | None, count: int | None) -> None:
    page = parse_body(body)
    assert page.table.num_rows == rows
    assert page.table["timestamp"].to_pylist() == [None, 1, 2][1 : rows + 1] or b"meta" in body
    assert (page.next_url, page.count) == (next_url, count)
    assert page.table.schema == LINES.arrow


def test_rows_of_a_numbered_object_keep_their_order() -> None:
    rows = {str(n): {"Timestamp": str(n)} for n in reversed(range(12))}
    page = parse_body(json.dumps({"d": rows}).encode())
    assert page.table["timestamp"].to_pylist() == list(range(12))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"<!DOCTYPE html><html><title>Log in</title>", "markup"),
        (b'<?xml version="1.0"?><feed/>', "markup"),
        (b'{"d":{"results":[{"Timestamp":"1"},{"Time', "json"),
        (b'{"d":{"results":[{"Timestamp":"1"}]}', "json"),
        (b'{"d":[{"Timestamp":"1"}]}{"d":[]}', "json"),
        (b'{"d":[{"Timestamp":"1"}]}\n{"d":[]}', "json"),
        (b"Object moved", "json"),
        (b'{"d":[{"Timestamp":"1","Notes":"\xe9"}]}', "encoding"),
        (b'{"d":[{"Timestamp":"1","VATCode":"\xe9"}]}', "encoding"),
        (b'{"d":[{"Timestamp":"1","ID":"\xe9"}]}', "encoding"),
        (b'{"d":{"results":[{"Timestamp":"1"},{"error":{"code":"","message":{}}}]}}', "error"),
        (b"[" * 100_000, "json"),
        (b'{"d":[' + b"[" * 100_000, "json"),
        (b'{"d":[{"Timestamp":"1","Notes":' + b"[" * 100_000, "json"),
        (b'{"d":[{"Timestamp":"1","Foo":' + b'{"a":' * 100_000, "json"),
        (b'{"d":[{"Timestamp":"1"},{"Notes":' + b"[" * 900 + b"]" * 900 + b"}]}", "json"),
    ],
)
def test_broken_answers_can_be_distinguished(body: bytes, reason: str) -> None:
    with pytest.raises(BrokenPageError, match="lines of 7") as caught:
        parse_body(body)
    assert caught.value.broken
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"code":"","message":{"lang":"","value":"Geheim"}}}',
        b'{"d":{}}',
        b'{"d":null}',
        b'{"d":true}',
        b'{"d":"Geheim"}',
        b'{"d":{"results":null}}',
        b'{"d":{"results":{"Timestamp":"1"}}}',
        b'{"d":{"results":["Geheim"]}}',
        b'{"d":{"results":[null]}}',
        b'{"d":{"results":[{"Timestamp":"1"},null]}}',
        b'{"d":{"__count":"0"}}',
        b'{"d":{"__next":"Geheim"}}',
        b'{"d":{"Geheim":1}}',
        b'{"d":{"0":{"Timestamp":"1"},"2":{"Timestamp":"1"}}}',
        b'{"d":{"0":"Geheim"}}',
        b'{"d":[[{"Timestamp":"1"}]]}',
        b'{"d":{"results":[{"Timestamp":"1"}],"__next":5}}',
        b'{"d":{"results":[{"Timestamp":"1"}],"__next":""}}',
        b'{"d":{"results":[{"Timestamp":"1"}],"__next":{"Geheim":1}}}',
        b'{"d":{"results":[{"Timestamp":"1"}],"results":[]}}',
        b'{"d":[{"Timestamp":"1"}],"d":[]}',
        b'{"d":[],"error":{"code":"Geheim"}}',
        b'{"d":{"results":[{"Timestamp":"1"}]},"error":{"code":"Geheim"}}',
        b'{"d":{"results":[{"Timestamp":"1"}],"error":{"code":"Geheim"}}}',
        b"{}",
        b"[]",
        b"5",
        b"null",
        b'"Geheim"',
        b'{"value":[{"Timestamp":"1"}]}',
    ],
)
def test_unknown_forms_are_never_an_empty_page(body: bytes) -> None:
    with pytest.raises(ContractError, match="lines of 7") as caught:
        parse_body(body)
    assert not isinstance(caught.value, BrokenPageError)
    assert "Geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_messages_and_causes_hold_no_content() -> None:
    with pytest.raises(BrokenPageError) as caught:
        parse_body(b'{"d":[{"Notes":"Geheim"')
    assert caught.value.__suppress_context__
    assert "Geheim" not in str(caught.value)


def test_a_function_that_gives_a_bare_value() -> None:
    rights = schema_of("user_has_rights")
    page = parse_body(b'{"d":{"UserHasRights":true}}', rights)
    assert page.table.to_pylist() == [{"division": 7, "_extra": '{"UserHasRights": true}'}]
    page = parse_body(b'{"d":true}', rights)
    assert page.table.to_pylist() == [{"division": 7, "_extra": '{"value": true}'}]
    with pytest.raises(ContractError):
        parse_body(b'{"d":null}', rights)
    with pytest.raises(ContractError):
        parse_body(b'{"d":{}}', rights)


# --- types


@pytest.mark.parametrize(
    ("column", "field", "sent", "expected"),
    [
        ("id", "ID", ID.upper(), ID),
        ("id", "ID", ID, ID),
        ("description", "Description", "  Käse 🧀 \t\n", "  Käse 🧀 \t\n"),
        ("description", "Description", "", ""),
        ("description", "Description", "\x01\x1f\x7f\u2028", "\x01\x1f\x7f\u2028"),
        ("account_code", "AccountCode", "               123", "123"),
        ("vat_code", "VATCode", "5  ", "5"),
        ("vat_code", "VATCode", "   ", ""),
        ("vat_code", "VATCode", "\t5 6 ", "\t5 6"),
        ("amount_dc", "AmountDC", 0.1, Decimal("0.1")),
        ("amount_dc", "AmountDC", -1234567.89, Decimal("-1234567.89")),
        ("amount_dc", "AmountDC", 100, Decimal(100)),
        ("amount_dc", "AmountDC", 1e3, Decimal(1000)),
        ("amount_dc", "AmountDC", "12.50", Decimal("12.5")),
        ("quantity", "Quantity", 0.1, 0.1),
        ("quantity", "Quantity", "0.1", 0.1),
        ("quantity", "Quantity", 1e-320, 1e-320),
        ("document_number", "DocumentNumber", 2**31 - 1, 2**31 - 1),
        ("document_number", "DocumentNumber", -(2**31), -(2**31)),
        ("document_number", "DocumentNumber", 5.0, 5),
        ("document_number", "DocumentNumber", " 5 ", 5),
        ("document_number", "DocumentNumber", True, 1),
        ("financial_year", "FinancialYear", 2024, 2024),
        ("timestamp", "Timestamp", str(2**53 + 1), 2**53 + 1),
        ("timestamp", "Timestamp", 2**53 + 1, 2**53 + 1),
        ("timestamp", "Timestamp", "-1", -1),
        ("date", "Date", "/Date(1351209600000)/", at(2012, 10, 26)),
        ("date", "Date", "/Date(-62135596800000)/", at(1, 1, 1)),
        ("date", "Date", "/Date(-1)/", at(1969, 12, 31, 23, 59, 59, 999000)),
        ("date", "Date", "/Date(1351209600203)/", at(2012, 10, 26, 0, 0, 0, 203000)),
        ("date", "Date", "/Date(1351209600000+0200)/", at(2012, 10, 26)),
        ("date", "Date", "/Date(1351209600000-0530)/", at(2012, 10, 26)),
        ("date", "Date", "2012-10-26T01:02:03", at(2012, 10, 26, 1, 2, 3)),
        ("date", "Date", "2012-10-26T01:02:03.25", at(2012, 10, 26, 1, 2, 3, 250000)),
        ("date", "Date", "2012-10-26T01:02:03Z", at(2012, 10, 26, 1, 2, 3)),
        ("date", "Date", "2012-10-26T01:02:03+02:00", at(2012, 10, 26, 1, 2, 3)),
        ("date", "Date", "2012-10-26", at(2012, 10, 26)),
        ("description", "Description", 5.10, "5.1"),
        ("description", "Description", True, "true"),
    ],
)  # fmt: skip
def test_values_arrive(column: str, field: str, sent: Any, expected: Any) -> None:
    assert value(column, field, sent) == expected
    page = parse({"Timestamp": "1", field: sent})
    assert page.table.column_names == LINES.arrow.names
    assert page.surprises == ()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(True, True), (False, False), (0, False), (1, True), ("true", True), ("False", False)],
)
def test_flags(sent: Any, expected: bool) -> None:
    accounts = schema_of("accounts", ["ID", "IsSales"])
    page = parse({"ID": ID, "IsSales": sent}, schema=accounts)
    assert page.table["is_sales"].to_pylist() == [expected]
    assert page.surprises == ()


def test_bytes_hold_flags_too() -> None:
    schema = schema_of("material_issues", ["StockTransactionId", "IsBatch"])
    rows = [{"StockTransactionId": ID, "IsBatch": v} for v in (0, 1, 255, True)]
    page = parse(*rows, schema=schema)
    assert page.table["is_batch"].to_pylist() == [0, 1, 255, 1]


def test_escaped_slashes_in_dates_stay_on_the_fast_path() -> None:
    body = rb'{"d":[{"Timestamp":"1","Date":"\/Date(1351209600000)\/"}]}'
    assert is_fast(body)
    assert parse_body(body).table["date"].to_pylist() == [at(2012, 10, 26)]


def test_offsets_in_dates_stay_on_the_fast_path() -> None:
    body = (
        b'{"d":[{"Timestamp":"1","Date":"/Date(0+0200)/"},'
        b'{"Timestamp":"2","Date":null},{"Timestamp":"3","Date":"/Date(1000)/"}]}'
    )
    assert is_fast(body)
    dates = parse_body(body).table["date"].to_pylist()
    assert dates == [at(1970, 1, 1), None, at(1970, 1, 1, 0, 0, 1)]


def test_types_of_the_columns() -> None:
    types = {f.name: f.type for f in LINES.arrow}
    assert LINES.arrow.names[0] == "division"
    assert LINES.arrow.names.count("division") == 1
    assert types["division"] == pa.int32()
    assert types["id"] == pa.string()
    assert types["amount_dc"] == pa.decimal128(38, 9)
    assert types["quantity"] == pa.float64()
    assert types["type"] == pa.int32()
    assert types["status"] == pa.int16()
    assert types["timestamp"] == pa.int64()
    assert types["modified"] == pa.timestamp("us")


def test_a_page_of_nulls_has_all_columns_with_their_types() -> None:
    nulls = dict.fromkeys(LINES.columns) | {"Timestamp": "1"}
    for page in (parse(nulls), parse({"Timestamp": "1"})):
        assert page.table.schema == LINES.arrow
        assert page.table["division"].to_pylist() == [7]
        assert page.table["modified"].to_pylist() == [None]
        assert page.surprises == ()


@pytest.mark.parametrize("other", [1, "one"])
def test_codes_as_they_came_can_stand_beside_the_trimmed_ones(other: Any) -> None:
    schema = schema_of("accounts", ["ID", "Code", "Type", "Status"], raw_codes=True)
    assert schema.arrow.names == ["division", "id", "code", "type", "status", "code_raw"]
    rows = ({"ID": ID, "Code": "  12 ", "Type": other}, {"ID": ID, "Code": None})
    table = parse(*rows, schema=schema).table
    assert table["code"].to_pylist() == ["12", None]
    assert table["code_raw"].to_pylist() == ["  12 ", None]


def test_fields_that_hold_the_code_of_another_row_are_trimmed_like_it() -> None:
    fields = ["ID", "Unit", "Code", "CostPriceCurrency", "Description"]
    items = schema_of("items", fields)
    row = dict.fromkeys(fields, "x  ") | {"ID": ID}
    kept = parse(row, schema=items).table.to_pylist()[0]
    assert (kept["unit"], kept["code"]) == ("x", "x")
    assert (kept["cost_price_currency"], kept["description"]) == ("x  ", "x  ")
    for name, field in (
        ("transaction_lines", "CostCenter"),
        ("transaction_lines", "CostUnit"),
        ("gl_accounts", "Costcenter"),
        ("accounts", "PaymentConditionSales"),
        ("sales_invoices", "PaymentCondition"),
        ("sales_invoices", "Journal"),
        ("units", "Code"),
    ):
        assert is_code(ENTITIES[name].columns[field])
    assert not is_code(ENTITIES["accounts"].columns["VATNumber"])
    assert not is_code(ENTITIES["items"].columns["Description"])


# What recorded replies padded with spaces, and fields that hold the same codes (API 12.13).
PADDED = {
    "accounts": {"Country": "FR ", "Language": "FR        ", "State": "UT "},
    "journals": {"BankAccountCountry": "FR "},
    "receivables": {"AccountCountry": "NL "},
    "vat_codes": {"OssCountry": "BE "},
    "sales_entry_lines": {"IntraStatCountry": "DE "},
    "supplier_item": {"CountryOfOrigin": "CN "},
    "contacts": {"Nationality": "NL ", "Language": "NL        "},
    "all_divisions": {"Legislation": "FR "},
}


@pytest.mark.parametrize("name", PADDED)
def test_padded_codes_are_trimmed_and_can_be_had_as_they_came(name: str) -> None:
    entity, sent = ENTITIES[name], PADDED[name]
    schema = schema_of(name, [*entity.key, *sent], raw_codes=True)
    (kept,) = parse(sent, schema=schema, division=7).table.to_pylist()
    for field, text in sent.items():
        column = entity.columns[field].name
        assert (kept[column], kept[f"{column}_raw"]) == (text.strip(), text)


def test_names_and_descriptions_of_codes_keep_their_spaces() -> None:
    fields = {"accounts": ("StateName", "CountryName", "LanguageDescription", "Currency")}
    for name, kept in fields.items():
        assert not any(is_code(ENTITIES[name].columns[field]) for field in kept)


def test_trimming_a_key_makes_no_two_rows_one() -> None:
    """SQL Server compares without trailing spaces, so codes that differ only in them cannot both exist."""
    trimmed = {
        (name, field)
        for name, entity in ENTITIES.items()
        for field in entity.key
        if is_code(entity.columns[field])
    }
    # None of these codes is padded on the left: a currency has three letters, journals have numbers of
    # one length.
    assert trimmed == {
        ("currencies", "Code"),
        ("journal_status_by_financial_period", "Journal"),
        ("journal_status_list", "Journal"),
        ("outstanding_invoices_overview", "CurrencyCode"),
    }


def test_binary_fields_are_left_out_unless_asked_for() -> None:
    default = schema_of("accounts")
    assert "logo" not in default.arrow.names
    page = parse({"ID": ID, "Logo": "https://x/logo"}, schema=default)
    assert page.table.column_names == default.arrow.names
    page = parse({"ID": ID, "Logo": 5, "CanDropShip": "nee"}, schema=default)
    assert json.loads(page.table["_extra"][0].as_py()) == {"CanDropShip": "nee"}
    asked = schema_of("accounts", ["ID", "Logo"])
    page = parse({"ID": ID, "Logo": "https://x/logo"}, schema=asked)
    assert page.table["logo"].to_pylist() == ["https://x/logo"]


def test_true_instants_beside_the_digits() -> None:
    schema = schema_of("accounts", ["ID", "Modified"], utc_fields=("Created", "Modified"))
    assert schema.arrow.names == ["division", "id", "modified", "modified_utc"]
    assert schema.arrow.field("modified_utc").type == pa.timestamp("us", tz="UTC")
    shown = [
        (at(2024, 7, 1, 12), datetime(2024, 7, 1, 10, tzinfo=UTC)),
        (at(2024, 1, 1, 0), datetime(2023, 12, 31, 23, tzinfo=UTC)),
        (at(2024, 10, 27, 2, 30), datetime(2024, 10, 27, 0, 30, tzinfo=UTC)),
        (at(2024, 3, 31, 2, 30), datetime(2024, 3, 31, 1, 0, tzinfo=UTC)),
    ]
    rows = [{"ID": ID, "Modified": exact(wall)} for wall, _ in shown]
    rows.append({"ID": ID})
    table = parse(*rows, schema=schema).table
    assert table["modified"].to_pylist() == [wall for wall, _ in shown] + [None]
    assert table["modified_utc"].to_pylist() == [instant for _, instant in shown] + [None]


def test_an_instant_that_no_datetime_can_hold_is_left_out() -> None:
    schema = schema_of("accounts", ["ID", "Modified"], utc_fields=("Modified",))
    first, last = at(1, 1, 1), at(9999, 12, 31, 23, 59, 59)
    table = parse(*({"ID": ID, "Modified": exact(d)} for d in (first, last)), schema=schema).table
    assert table["modified"].to_pylist() == [first, last]
    assert table["modified_utc"].to_pylist() == [
        None,  # in the year 0
        datetime(9999, 12, 31, 22, 59, 59, tzinfo=UTC),
    ]


def exact(wall: datetime) -> str:
    return f"/Date({round(wall.replace(tzinfo=UTC).timestamp() * 1000)})/"


def test_fields_must_exist() -> None:
    with pytest.raises(ValueError, match="accounts has no Nothing"):
        schema_of("accounts", ["ID", "Nothing"])


def test_a_field_asked_for_twice_is_one_column() -> None:
    assert schema_of("accounts", ["ID", "Name", "ID"]).arrow.names == ["division", "id", "name"]


# --- what does not fit


@pytest.mark.parametrize(
    ("column", "field", "sent"),
    [
        ("amount_dc", "AmountDC", "veel"),
        ("amount_dc", "AmountDC", ""),
        ("amount_dc", "AmountDC", "1_0"),
        ("amount_dc", "AmountDC", "1,5"),
        ("amount_dc", "AmountDC", True),
        ("amount_dc", "AmountDC", 1e30),
        ("amount_dc", "AmountDC", [1]),
        ("quantity", "Quantity", "veel"),
        ("quantity", "Quantity", "1e999"),
        ("quantity", "Quantity", "NaN"),
        ("document_number", "DocumentNumber", 2**31),
        ("document_number", "DocumentNumber", 10**40),
        ("document_number", "DocumentNumber", 1.5),
        ("document_number", "DocumentNumber", "A1"),
        ("document_number", "DocumentNumber", ""),
        ("financial_year", "FinancialYear", 2**15),
        ("date", "Date", "morgen"),
        ("date", "Date", ""),
        ("date", "Date", 5),
        ("date", "Date", "/Date(x)/"),
        ("date", "Date", "/Date()/"),
        ("date", "Date", "/Date(253402300800000)/"),
        ("date", "Date", "/Date(99999999999999999999999)/"),
        ("date", "Date", "x/Date(5)/"),
        ("date", "Date", "abcdef123gh"),
        ("amount_dc", "AmountDC", "9" * 29 + "." + "9" * 10),
        ("date", "Date", "2024-02-30"),
        ("date", "Date", "20240131"),
        ("date", "Date", {"a": 1}),
        ("description", "Description", {"a": [1, None, "x"]}),
        ("id", "ID", ["x"]),
    ],
)  # fmt: skip
def test_misfits_keep_their_row_and_their_value(column: str, field: str, sent: Any) -> None:
    page = parse({"Timestamp": "1", field: sent}, {"Timestamp": "2"})
    assert page.table[column].to_pylist() == [None, None]
    assert page.table["timestamp"].to_pylist() == [1, 2]
    extra = page.table["_extra"].to_pylist()
    assert json.loads(extra[0]) == {field: sent}
    assert extra[1] is None
    assert page.surprises == (Surprise("misfit", field, 1),)
    assert page.table.select(LINES.arrow.names).schema == LINES.arrow


def test_flags_of_another_kind_are_misfits() -> None:
    accounts = schema_of("accounts", ["ID", "IsSales"])
    page = parse({"ID": ID, "IsSales": "misschien"}, {"ID": ID, "IsSales": 2}, schema=accounts)
    assert page.table["is_sales"].to_pylist() == [None, None]
    assert page.surprises == (Surprise("misfit", "IsSales", 2),)


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("0.1234567891", "0.123456789"),
        ("0.1234567885", "0.123456788"),
        ("0.1234567895", "0.123456790"),
        ("-0.1234567895", "-0.123456790"),
        ("1234.5600000000002", "1234.56"),
        ("1.1368683772161603E-13", "0"),
        ("1e-60", "0"),
        ("5e-324", "0"),
    ],
)
def test_more_than_nine_decimals_are_rounded_half_even(number: str, kept: str) -> None:
    body = f'{{"d":[{{"Timestamp":"1","AmountDC":{number}}},{{"Timestamp":"2","AmountFC":1}}]}}'
    for text in (body, body.replace('"2"', "2")):  # the second is read value by value
        page = parse_body(text.encode())
        assert page.table["amount_dc"].to_pylist() == [Decimal(kept), None]
        assert page.surprises == (Surprise("rounded", "AmountDC", 1),)
        extra = json.loads(page.table["_extra"][0].as_py(), parse_float=Decimal)
        assert extra == {"AmountDC": Decimal(number)}
    assert is_fast(body.encode()) == ("e-" not in number)


def test_decimals_that_only_a_double_needs_are_no_loss() -> None:
    for number in ("0.10000000000000001", '"0.10000000000000001"'):
        page = parse_body(f'{{"d":[{{"Timestamp":"1","AmountDC":{number}}}]}}'.encode())
        assert page.table["amount_dc"].to_pylist() == [Decimal("0.1")]
        assert page.surprises == ()


def test_amounts_with_more_digits_than_a_double() -> None:
    body = b'{"d":[{"Timestamp":"1","AmountDC":1234567890123456.78,"AmountFC":1E+15}]}'
    page = parse_body(body)
    assert page.table["amount_dc"].to_pylist() == [Decimal("1234567890123456.78")]
    assert page.table["amount_fc"].to_pylist() == [Decimal(10**15)]
    assert page.surprises == ()


def test_numbers_that_are_no_numbers() -> None:
    body = (
        b'{"d":[{"Timestamp":"1","Quantity":NaN,"AmountDC":NaN,"DocumentNumber":-Infinity},'
        b'{"Timestamp":"2","Quantity":-Infinity}]}'
    )
    page = parse_body(body)
    assert str(page.table["quantity"].to_pylist()) == "[nan, -inf]"
    assert page.table["amount_dc"].to_pylist() == [None, None]
    extra = json.loads(page.table["_extra"][0].as_py())
    assert extra == {"AmountDC": "NaN", "DocumentNumber": "-Infinity"}


@pytest.mark.parametrize("field", ["AmountDC", "DocumentNumber", "Timestamp", "Quantity"])
@pytest.mark.parametrize("number", ["1e999999999", "1e99999999999999999999", "9" * 5000, "1e75"])
def test_monstrous_numbers_are_kept_as_they_were_written(field: str, number: str) -> None:
    for sent in (number, f'"{number}"'):
        page = parse_body(f'{{"d":[{{"Timestamp":"1","{field}":{sent}}}]}}'.encode())
        if (field, number) == ("Quantity", "1e75"):
            assert page.table["quantity"].to_pylist() == [1e75]
        else:
            assert page.table["_extra"].to_pylist() == [f'{{"{field}": {sent}}}']


@pytest.mark.parametrize("number", ["1e-999999999", "0e-999999999", "1e-1000"])
def test_numbers_that_a_double_cannot_tell_from_zero(number: str) -> None:
    for sent in (number, f'"{number}"'):
        page = parse_body(f'{{"d":[{{"Timestamp":"1","AmountDC":{sent}}}]}}'.encode())
        assert page.table["amount_dc"].to_pylist() == [Decimal(0)]


def test_unknown_fields_are_kept_and_reported() -> None:
    row = {"Timestamp": "1", "New": 1.50, "Lines": {"results": [{"ID": 1}]}, "Empty": None}
    page = parse(row, {"Timestamp": "2"}, row | {"New": None})
    extra = page.table["_extra"].to_pylist()
    assert json.loads(extra[0]) == {"New": 1.5, "Lines": {"results": [{"ID": 1}]}}
    assert extra[1] is None
    assert json.loads(extra[2]) == {"Lines": {"results": [{"ID": 1}]}}
    assert page.surprises == (Surprise("unknown", "New", 1), Surprise("unknown", "Lines", 2))


@pytest.mark.parametrize("bare", [True, False])
def test_an_unknown_field_of_a_later_row_is_kept_too(bare: bool) -> None:
    rows = [{"__metadata": {"uri": "u", "type": "t"}, "Timestamp": str(n)} for n in range(3)]
    rows[1] |= {"New": "n"}
    body = json.dumps({"d": rows if bare else {"results": rows}}).encode()
    page = parse_body(body)
    assert page.table["_extra"].to_pylist() == [None, '{"New": "n"}', None]
    assert page.surprises == (Surprise("unknown", "New", 1),)


def test_what_needs_no_column_does_not_slow_a_page_down() -> None:
    around = {
        "__metadata": {"uri": "https://x/(1L)", "type": "T", "media": {"etag": None, "n": [1]}},
        "Lines": {"__deferred": {"uri": "u"}},
    }
    schema = schema_of("accounts")
    for first in (None, "https://x/logo"):
        rows = [{"ID": ID, "Logo": logo, **around} for logo in (first, "https://x/logo", None)]
        assert is_fast(json.dumps({"d": {"results": rows}}).encode(), schema)


@pytest.mark.parametrize("kind", ["unknown", "repeated"])
def test_any_number_of_odd_fields_is_kept_and_a_few_are_named(kind: str) -> None:
    names = [f"F{number}\x1b[2J\n" + "x" * 100 for number in range(3000)]
    times = 1 if kind == "unknown" else 2
    fields = ",".join(f"{json.dumps(name)}:1" for name in names for _ in range(times))
    page = parse_body(f'{{"d":[{{"Timestamp":"1",{fields}}}]}}'.encode())

    assert set(json.loads(page.table["_extra"][0].as_py())) == set(names)
    shown = [s for s in page.surprises if s.kind == kind]
    assert [s.column for s in shown[:2]] == [f"F{n} " + "x" * 54 + "..." for n in range(2)]
    assert shown[-1] == Surprise(kind, "2980 more fields", 1)  # type: ignore[arg-type]
    assert len(shown) == 21


def test_rows_of_ever_new_forms_leave_nothing_behind() -> None:
    schema = schema_of("sync_transaction_lines")
    for number in range(50):
        parse({"Timestamp": "1", "__metadata": {f"name{number}": "x"}}, schema=schema)

    assert len(schema._options) <= 8


def test_fields_that_were_not_asked_for_are_unknown() -> None:
    narrow = schema_of("accounts", ["ID", "Name"])
    page = parse({"ID": ID, "Name": "x", "City": "Delft"}, schema=narrow)
    assert page.table["_extra"].to_pylist() == ['{"City": "Delft"}']
    assert page.surprises == (Surprise("unknown", "City", 1),)


def test_a_byte_order_mark_does_not_slow_a_page_down() -> None:
    assert is_fast(b'\xef\xbb\xbf{"d":[{"Timestamp":"1"}]}')


def test_a_null_among_the_rows_of_an_entity_without_key() -> None:
    stock = schema_of("stock_position")
    with pytest.raises(ContractError):
        parse_body(b'{"d":{"results":[{"InStock":1},null]}}', stock)


def test_links_and_metadata_are_dropped_on_the_fast_path() -> None:
    row = {
        "__metadata": {"uri": "u", "type": "t", "etag": "e"},
        "Timestamp": "1",
        "Lines": {"__deferred": {"uri": "u"}},
    }
    body = json.dumps({"d": {"results": [row, row]}}).encode()
    assert is_fast(body)
    assert parse_body(body).table.schema == LINES.arrow
    row["DocumentNumber"] = "misfit"
    page = parse(row)
    assert json.loads(page.table["_extra"][0].as_py()) == {"DocumentNumber": "misfit"}


def test_a_first_row_longer_than_the_first_look() -> None:
    long = "x" * 300_000
    page = parse({"Timestamp": "1", "Notes": long, "New": "n"})
    assert page.table["notes"].to_pylist() == [long]
    assert page.table["_extra"].to_pylist() == ['{"New": "n"}']
    assert is_fast(json.dumps({"d": [{"Timestamp": "1", "Notes": long}]}).encode())


def test_extra_keeps_numbers_as_they_were_written_and_text_readable() -> None:
    body = '{"d":[{"Timestamp":"1","New":[1.10,1E+2,-0,true,null,"Käse \\"🧀\\"",{"a":{}}]}]}'
    page = parse_body(body.encode())
    kept = page.table["_extra"][0].as_py()
    assert kept == '{"New": [1.10, 1E+2, -0, true, null, "Käse \\"🧀\\"", {"a": {}}]}'


def test_text_that_cannot_be_stored_is_cleaned_and_kept() -> None:
    body = rb'{"d":[{"Timestamp":"1","Notes":"a\u0000b","VATCode":" \u0000","ID":"\ud800A"}]}'
    page = parse_body(body)
    assert page.table["notes"].to_pylist() == ["ab"]
    assert page.table["vat_code"].to_pylist() == [""]
    assert page.table["id"].to_pylist() == ["\ufffda"]
    extra = page.table["_extra"][0].as_py()
    assert json.loads(extra) == {"Notes": "a\0b", "VATCode": " \0", "ID": "\ud800A"}
    assert "\\u0000" in extra
    assert "\0" not in extra
    assert {s.kind for s in page.surprises} == {"rounded"}


@pytest.mark.parametrize("field", ["Notes", "VATCode", "ID"])
def test_nul_alone_is_seen_too(field: str) -> None:
    page = parse({"Timestamp": "1", field: "a\0b"}, {"Timestamp": "2"})
    assert page.table[LINES.columns[field].name].to_pylist() == ["ab", None]
    assert page.surprises == (Surprise("rounded", field, 1),)


def test_dates_with_more_than_microseconds() -> None:
    page = parse({"Timestamp": "1", "Date": "2012-10-26T01:02:03.1234567"})
    assert page.table["date"].to_pylist() == [at(2012, 10, 26, 1, 2, 3, 123456)]
    assert page.surprises == (Surprise("rounded", "Date", 1),)


def test_raw_control_characters_are_tolerated() -> None:
    page = parse_body(b'{"d":[{"Timestamp":"1","Notes":"a\x01\nb"}]}')
    assert page.table["notes"].to_pylist() == ["a\x01\nb"]
    assert page.surprises == ()


def test_repeated_fields() -> None:
    body = b'{"d":[{"Timestamp":"1","Notes":"a","Notes":"b"},{"Timestamp":"2","Notes":"c"}]}'
    page = parse_body(body)
    assert page.table["notes"].to_pylist() == ["b", "c"]
    assert page.table["_extra"].to_pylist() == ['{"Notes": ["a", "b"]}', None]
    assert page.surprises == (Surprise("repeated", "Notes", 1),)


def test_rows_without_their_key_are_reported() -> None:
    page = parse({"Timestamp": "1"}, {"Timestamp": None, "ID": ID}, {})
    assert page.table["timestamp"].to_pylist() == [1, None, None]
    assert page.surprises == (Surprise("null key", "Timestamp", 2),)


# --- divisions


def test_rows_of_the_division_that_was_asked() -> None:
    page = parse({"Timestamp": "1", "Division": 7}, {"Timestamp": "2"})
    assert page.table["division"].to_pylist() == [7, 7]


@pytest.mark.parametrize("sent", [8, "8", 8.0, "acht", True, [7], 2**31, 7.5, "", "2" * 100])
@pytest.mark.parametrize("first", [7, None])
def test_a_row_of_another_division_refuses_the_page(sent: Any, first: Any) -> None:
    rows = [{"Timestamp": "1", "Division": first}, {"Timestamp": "2", "Division": sent}]
    with pytest.raises(ContractError, match="division") as caught:
        parse(*rows)
    assert "lines of 7" in str(caught.value)
    assert not isinstance(caught.value, BrokenPageError)


def test_division_is_checked_even_if_it_was_not_asked_for() -> None:
    narrow = schema_of("accounts", ["ID"])
    assert narrow.arrow.names == ["division", "id"]
    with pytest.raises(ContractError, match="another division"):
        parse({"ID": ID, "Division": 8}, schema=narrow)
    assert parse({"ID": ID, "Division": 7}, schema=narrow).table.num_rows == 1


def test_divisions_are_rows_of_their_own_division() -> None:
    schema = schema_of("divisions", ["Code", "Description"])
    page = parse({"Code": 8, "Description": "x"}, {"Code": 9}, schema=schema)
    assert page.table["division"].to_pylist() == page.table["code"].to_pylist() == [8, 9]
    assert page.table.schema == schema.arrow
    for code in (None, "x", 2**31):
        with pytest.raises(ContractError, match="division"):
            parse({"Code": 8}, {"Code": code}, schema=schema)
    with pytest.raises(ValueError, match="without Code"):
        schema_of("divisions", ["Description"])


def test_me_is_of_its_current_division() -> None:
    schema = schema_of("me", ["UserID", "CurrentDivision"])
    page = parse({"UserID": ID, "CurrentDivision": 9}, schema=schema)
    assert page.table["division"].to_pylist() == [9]


def test_rows_that_speak_of_other_divisions() -> None:
    schema = schema_of("user_roles_per_division", ["ID", "Division"])
    page = parse({"ID": ID, "Division": 8}, {"ID": ID, "Division": 9}, schema=schema)
    assert page.table["division"].to_pylist() == [8, 9]
    assert schema.arrow.names == ["division", "id"]


def test_entities_without_division_take_the_one_asked() -> None:
    schema = schema_of("currencies")
    page = parse({"Code": "EUR"}, schema=schema)
    assert page.table["division"].to_pylist() == [7]
    assert "division" in page.table.column_names


# --- tables


def test_largest_value_of_a_column() -> None:
    table = parse({"Timestamp": "2"}, {"Timestamp": "10"}, {"Timestamp": "9"}).table
    assert max_of(table, "timestamp") == 10
    assert max_of(table, "modified") is None
    assert max_of(table.slice(0, 0), "timestamp") is None
    with pytest.raises(KeyError):
        max_of(table, "nothing")
    table = parse({"Timestamp": "1", "Modified": "/Date(1203)/"}).table
    assert max_of(table, "modified") == at(1970, 1, 1, 0, 0, 1, 203000)


def test_pages_with_and_without_extra_become_one_table() -> None:
    plain = parse({"Timestamp": "1"}).table
    odd = parse({"Timestamp": "2", "New": 1}).table
    assert concat([plain, plain]).schema == LINES.arrow
    for both in (concat([plain, odd]), concat([odd, plain])):
        assert both.column_names == [*LINES.arrow.names, "_extra"]
        assert sorted(both["_extra"].to_pylist(), key=str) == [None, '{"New": 1}']
    assert concat([odd, odd]).num_rows == 2


KEYS = {"g": ID, "s": "1", "l": "1", "t": "/Date(0)/"}


def test_every_entity_reads_a_page() -> None:
    for entity in ENTITIES.values():
        for feed in entity.feeds.values():
            schema = PageSchema(entity, feed)
            row: dict[str, Any] = dict.fromkeys(feed.columns)
            row |= {f: KEYS.get(entity.columns[f].type_code, 7) for f in entity.key}
            row |= {schema.own_division: 7} if schema.own_division else {}
            page = parse(row, schema=schema) if row else parse_body(b'{"d":[]}', schema)
            assert page.table.schema.names[: len(schema.arrow)] == schema.arrow.names
            assert page.surprises == (), entity.name
