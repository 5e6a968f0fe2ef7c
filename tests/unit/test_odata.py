"""Exact's OData dialect: literals, filters, URLs, next links."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source.errors import ConfigurationError, ContractError
from exact_source.odata.query import (
    build_filter,
    build_path,
    build_url,
    check_next,
    fit_select,
    format_datetime,
    format_literal,
    skiptoken,
)

BASE = "https://start.exactonline.nl"
GUID = "94e0771e-eaaf-4b28-a57f-800e34c6fa66"
HERE = f"{BASE}/api/v1/7/crm/Accounts"
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00")
milliseconds = st.integers(-62_135_596_800_000, 253_402_300_799_999)


@given(milliseconds)
def test_a_filter_never_begins_after_the_version_it_stands_for(ms: int) -> None:
    text = format_datetime(ms)
    assert text.startswith("datetime'")
    at = datetime.fromisoformat(text.removeprefix("datetime'").removesuffix("'"))
    exact = EPOCH + timedelta(milliseconds=ms)
    assert timedelta(0) <= exact - at < timedelta(seconds=1)


def test_seconds_are_always_sent() -> None:
    assert format_datetime(1_661_904_000_000) == "datetime'2022-08-31T00:00:00'"
    assert format_datetime(-1) == "datetime'1969-12-31T23:59:59'"


def test_a_year_has_four_digits() -> None:
    assert format_datetime(-62_135_596_800_000) == "datetime'0001-01-01T00:00:00'"


def test_timestamps_are_longs_and_above_not_at() -> None:
    assert build_filter("Timestamp", 11_386_558_735) == "Timestamp gt 11386558735L"


def test_modified_is_at_or_above() -> None:
    assert build_filter("Modified", 1_661_904_000_123) == (
        "Modified ge datetime'2022-08-31T00:00:00'"
    )


@pytest.mark.parametrize(
    ("type_code", "value", "text"),
    [
        ("g", GUID, f"guid'{GUID}'"),
        ("s", "it's", "'it''s'"),
        ("l", 5, "5L"),
        ("i", 5, "5"),
        ("b", True, "true"),
        ("t", "2024-01-31T00:00:00", "datetime'2024-01-31T00:00:00'"),
        ("t", "datetime'2024-01-31T00:00:00'", "datetime'2024-01-31T00:00:00'"),
    ],
)
def test_literals_are_written_as_exact_wants_them(type_code: str, value: object, text: str) -> None:
    assert format_literal(type_code, value) == text


@given(st.text())
def test_text_cannot_end_its_literal(value: str) -> None:
    text = format_literal("s", value)
    assert (text[0], text[-1]) == ("'", "'")
    assert text[1:-1].replace("''", "") == value.replace("'", "")


@given(st.text().filter(lambda t: t.lower() != GUID))
def test_what_is_no_guid_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        format_literal("g", value + "'")
    size = len(value) + 1
    assert str(refused.value) == f"a parameter must be a GUID; got {size} characters"


def test_paths_have_the_division_where_exact_wants_it() -> None:
    assert build_path("crm/Accounts", 7) == "/api/v1/7/crm/Accounts"
    assert build_path("beta/payroll/X", 7) == "/api/v1/beta/7/payroll/X"
    assert build_path("current/Me", 7) == "/api/v1/current/Me"


@given(st.dictionaries(st.sampled_from(["$select", "$filter", "itemId"]), st.text(max_size=50)))
def test_a_query_arrives_as_it_was_meant(query: dict[str, str]) -> None:
    url = build_url("crm/Accounts", 7, query)
    assert dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)) == query
    assert url.isascii()


def test_a_query_that_is_too_long_is_never_sent() -> None:
    with pytest.raises(ContractError):
        build_url("crm/Accounts", 7, {"$filter": "x" * 6000})
    with pytest.raises(ContractError):
        build_url("crm/Accounts", 7, {"$filter": "é" * 1200})


@given(
    st.lists(st.text("abcXYZ", min_size=1, max_size=9), unique=True, max_size=60),
    st.integers(0, 99),
)
def test_fields_are_left_out_from_the_end_but_never_those_to_keep(
    fields: list[str], room: int
) -> None:
    keep = set(fields[::7])
    chosen = fit_select(fields, keep, room)
    assert keep <= set(chosen)
    assert chosen == [f for f in fields if f in chosen]
    assert len(",".join(chosen)) <= room or set(chosen) == keep
    if len(",".join(fields)) <= room:
        assert chosen == fields


@pytest.mark.parametrize(
    "token", [f"guid'{GUID}'", "'GMD'", "493115L", "'10',6,2014", "a b", "%27", "x&y"]
)
def test_a_next_link_is_followed_as_it_was_given(token: str) -> None:
    link = f"{HERE}?$select=ID&$skiptoken={quote(token)}"
    assert check_next(link, BASE, "crm/Accounts", 7) == link.removeprefix(BASE)
    assert skiptoken(link) == token


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/v1/7/crm/Accounts?$skiptoken=1",
        "http://start.exactonline.nl/api/v1/7/crm/Accounts?$skiptoken=1",
        "https://start.exactonline.nl:444/api/v1/7/crm/Accounts",
        "https://start.exactonline.nl@evil.example/api/v1/7/crm/Accounts",
        "https://user@start.exactonline.nl/api/v1/7/crm/Accounts",
        "https://start.exactonline.nl.evil.example/api/v1/7/crm/Accounts",
        "//evil.example/api/v1/7/crm/Accounts",
        "/api/v1/7/crm/Accounts?$skiptoken=1",
        f"{BASE}/api/v1/8/crm/Accounts?$skiptoken=1",
        f"{BASE}/api/v1/7/crm/Contacts?$skiptoken=1",
        f"{BASE}/api/v1/7/crm/Accounts/../../8/crm/Accounts",
        f"{BASE}/api/oauth2/token",
        "javascript:alert(1)",
        "",
    ],
)
def test_a_next_link_that_leads_elsewhere_is_refused(link: str) -> None:
    with pytest.raises(ContractError) as refused:
        check_next(link, BASE, "crm/Accounts", 7)
    assert "evil" not in str(refused.value)


@given(st.text(max_size=80))
def test_no_text_makes_the_token_leave_the_site(text: str) -> None:
    for link in (text, f"{BASE}{text}", f"https://{text}", f"{HERE}{text}"):
        try:
            followed = check_next(link, BASE, "crm/Accounts", 7)
        except ContractError:
            continue
        assert followed.lower().startswith("/api/v1/7/crm/accounts")


def test_a_link_without_a_skiptoken_has_none() -> None:
    assert skiptoken(f"{HERE}?$select=ID") is None
