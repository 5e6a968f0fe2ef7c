"""Whatever typed rows Exact Online sends come out as sent; whatever else it sends is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exact_source.catalogue import Column, load_catalogue
from exact_source.errors import ContractError
from exact_source.odata import arrow_json as quick
from exact_source.odata import page as pages
from exact_source.odata.page import Page, PageSchema, concat, parse_page, parse_pages
from tests.support.tiers import examples

# One column of every type, the keys of a real entity replaced by it.
TYPE_CODES = "gsfmihyltbx"
BASE = load_catalogue().entities["accounts"]
ENTITY = replace(
    BASE,
    key=("Xg",),
    columns={
        f"X{type_code}": Column(f"X{type_code}", f"x{type_code}", type_code)
        for type_code in TYPE_CODES
    }
    | {"Code": Column("Code", "code", "s"), "Division": Column("Division", "division", "i")},
)
SCHEMA = PageSchema(ENTITY, BASE.feeds["sync"], list(ENTITY.columns), utc_fields=["Xt"])
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
values: dict[str, st.SearchStrategy[Any]] = {
    "Xg": st.uuids().map(str),
    "Xs": texts,
    "Xx": texts,
    "Code": texts.map(lambda text: text.strip(" ")),
    "Xf": st.floats(allow_nan=False, allow_infinity=False),
    # fifteen digits are what a double is sure to hold
    "Xm": st.decimals(-(10**6), 10**6, places=9)
    | st.decimals(-(10**13), 10**13, places=2)
    | st.decimals(-(10**28), 10**28, places=0),
    "Xi": st.integers(-(2**31), 2**31 - 1),
    "Xh": st.integers(-(2**15), 2**15 - 1),
    "Xy": st.integers(0, 255),
    "Xl": st.integers(-(2**63), 2**63 - 1),
    "Xt": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(  # noqa: DTZ001
        lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
    ),
    "Xb": st.booleans(),
    "Division": st.just(7),
}
rows = st.fixed_dictionaries(
    {"Xg": values["Xg"]},
    optional={f: st.none() | strategy for f, strategy in values.items() if f != "Xg"},
)


class Raw(str):
    """A piece of JSON."""

    __slots__ = ()


def date(at: datetime, offset: str) -> str:
    ms = (at.replace(tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
    return f"/Date({ms}{offset})/"


WRITTEN: dict[str, Callable[[Any, Any], Any]] = {
    "Xt": lambda value, draw: date(value, draw(st.sampled_from(["", "", "+0200", "-0100"]))),
    "Xl": lambda value, _: str(value),
    "Xm": lambda value, _: Raw(value),
    "Xg": lambda value, draw: value.upper() if draw(st.booleans()) else value,
    "Code": lambda value, draw: value.center(len(value) + draw(st.integers(0, 3))),
}


def sent(field: str, value: Any, draw: Any) -> Any:
    """A value as Exact writes it in JSON."""
    return value if value is None or field not in WRITTEN else WRITTEN[field](value, draw)


def encode(value: Any, escape: bool) -> str:
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{json.dumps(k)}:{encode(v, escape)}" for k, v in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(encode(v, escape) for v in value) + "]"
    text = json.dumps(value, ensure_ascii=escape)
    return text.replace("/", "\\/") if escape else text


@st.composite
def clean_pages(draw: Any) -> tuple[list[dict[str, Any]], bytes]:
    page = draw(st.lists(rows, max_size=5))
    metadata = {"uri": "https://x/('a')", "type": "T"}
    wrapped: list[Any] = [
        {"__metadata": metadata, "Lines": {"__deferred": {"uri": "u"}}}
        | {f: sent(f, v, draw) for f, v in row.items()}
        for row in page
    ]
    d: Any = wrapped if draw(st.booleans()) else {"results": wrapped, "__next": "u"}
    return page, encode({"d": d}, draw(st.booleans())).encode()


def expected(row: dict[str, Any]) -> dict[str, Any]:
    return {"division": 7} | {
        column.name: row.get(field)
        for field, column in ENTITY.columns.items()
        if field != "Division"
    }


def parse(body: bytes) -> Page:
    return parse_page(body, SCHEMA, division=7, where="a of 7")


@examples(300)
@given(clean_pages())
def test_rows_come_out_as_they_went_in(case: tuple[list[dict[str, Any]], bytes]) -> None:
    page, body = case
    table = parse(body).table
    assert table.schema == SCHEMA.arrow
    assert table.drop_columns(["xt_utc"]).to_pylist() == [expected(row) for row in page]
    table.validate(full=True)


def both(body: bytes) -> tuple[Any, Any]:
    """The page by the fast and by the slow way; ``None`` if that way does not take it."""
    fast = quick.read([body], SCHEMA)
    try:
        slow = pages._parse_slow(body, SCHEMA, "a of 7")
    except (ContractError, RecursionError):
        slow = None
    return fast, slow


def same(fast: Any, slow: Any) -> bool:
    as_text = [repr(array.to_pylist()) for array in fast.arrays.values()]
    return (
        list(fast.arrays) == list(slow.arrays)
        and as_text == [repr(array.to_pylist()) for array in slow.arrays.values()]
        and all(
            a.type == b.type
            for a, b in zip(fast.arrays.values(), slow.arrays.values(), strict=True)
        )
        and fast.answers == slow.answers
    )


@examples(300)
@given(clean_pages())
def test_fast_and_slow_agree_on_clean_pages(case: tuple[list[dict[str, Any]], bytes]) -> None:
    page, body = case
    fast, slow = both(body)
    large = any(abs(row.get("Xm") or 0) >= 10**15 for row in page)
    assert (fast is None) == large
    assert slow is not None
    assert not slow.extras
    assert not slow.surprises
    assert fast is None or same(fast, slow)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["/Date(5)/", "5", "1.5", "2024-01-31T00:00:00", "\0", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
odd_rows = st.dictionaries(st.sampled_from([*values, "New", "__x"]), anything, max_size=6)


@examples(500)
@given(st.lists(odd_rows, max_size=4))
@example([{"__x": 2**63}])
def test_no_row_and_no_value_gets_lost(page: list[dict[str, Any]]) -> None:
    page = [row | {"Division": 7} for row in page]
    body = json.dumps({"d": {"results": page}}).encode()
    got = parse(body).table
    assert got.num_rows == len(page)
    extras = got["_extra"].to_pylist() if "_extra" in got.column_names else [None] * len(page)
    for row, out, extra in zip(page, got.to_pylist(), extras, strict=True):
        kept = json.loads(extra) if extra else {}
        for field, value in row.items():
            if value is None or field.startswith("__"):
                continue
            column = ENTITY.columns.get(field)
            in_column = column is not None and out[column.name] is not None
            assert in_column or field in kept, field


def garbled(body: bytes, draw: Any) -> bytes:
    start = draw(st.integers(0, len(body)))
    wrong: bytes = draw(st.binary(max_size=4))
    return body[:start] + wrong + body[start + draw(st.integers(0, 4)) :]


@examples(600)
@given(st.data())
def test_damaged_bodies_raise_contract_errors_only(data: st.DataObject) -> None:
    _, body = data.draw(clean_pages())
    body = garbled(body, data.draw)
    fast, slow = both(body)
    if fast is not None and slow is not None and not slow.extras:
        assert same(fast, slow)
    with suppress(ContractError):
        parse(body).table.validate(full=True)


@examples(300)
@given(st.data())
def test_bodies_that_were_cut_off_are_refused(data: st.DataObject) -> None:
    _, body = data.draw(clean_pages())
    with pytest.raises(pages.BrokenPageError, match="a of 7") as caught:
        parse(body[: data.draw(st.integers(0, len(body) - 1))])
    assert caught.value.reason in {"empty", "json", "encoding"}


@examples(500)
@given(st.binary(max_size=60) | anything.map(lambda v: json.dumps({"d": v}).encode()))
@example(b'{"d":{"results":[' + b'{"Xs":' * 5000)
@example(b'{"d":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}")
def test_arbitrary_bodies_raise_contract_errors_only(body: bytes) -> None:
    try:
        page = parse(body)
    except ContractError:
        return
    d = json.loads(re.sub(b"^\xef\xbb\xbf", b"", body))["d"]
    assert isinstance(d, list | dict)
    assert page.table.num_rows == len(d) if isinstance(d, list) else page.table.num_rows >= 0


@given(st.lists(st.lists(odd_rows, max_size=3), min_size=1, max_size=4))
def test_pages_add_up(parts: list[list[dict[str, Any]]]) -> None:
    tables = [
        parse(json.dumps({"d": [row | {"Division": 7} for row in part]}).encode()).table
        for part in parts
    ]
    whole = concat(tables)
    assert whole.num_rows == sum(map(len, parts))
    assert whole.column_names[: len(SCHEMA.arrow)] == SCHEMA.arrow.names


@st.composite
def chains(draw: Any) -> list[bytes]:
    """Pages that follow each other, with rows on each; the last leads on, too."""
    escape, size = draw(st.booleans()), draw(st.integers(1, 4))
    metadata = {"uri": "https://x/('a')", "type": "T"}
    bodies = []
    for number in range(size):
        page = [
            {"__metadata": metadata} | {f: sent(f, v, draw) for f, v in row.items()}
            for row in draw(st.lists(rows, min_size=1, max_size=3))
        ]
        d = {"results": page, "__next": f"https://x/api?$skiptoken={number}"}
        bodies.append(encode({"d": d}, escape).encode())
    return bodies


def same_pages(bodies: list[bytes]) -> bool:
    """Whether pages that are read together are those that are read one by one; ``False``: they are not."""
    together = parse_pages(bodies, SCHEMA, division=7)
    if together is None:
        return False
    for page, body in zip(together, bodies, strict=True):
        alone = parse(body)
        assert page.table.equals(alone.table)
        assert (page.next_url, page.count) == (alone.next_url, alone.count)
        assert (page.surprises, alone.surprises) == ((), ())
        page.table.validate(full=True)
    return True


@examples(300)
@given(chains())
def test_pages_read_together_are_those_read_one_by_one(bodies: list[bytes]) -> None:
    assert same_pages(bodies) == all(quick.read([body], SCHEMA) is not None for body in bodies)


@examples(500)
@given(st.data())
def test_a_damaged_page_among_others_is_never_read_as_something_else(data: st.DataObject) -> None:
    bodies = data.draw(chains())
    which = data.draw(st.integers(0, len(bodies) - 1))
    bodies[which] = garbled(bodies[which], data.draw)
    same_pages(bodies)


@examples(300)
@given(st.lists(odd_rows, min_size=1, max_size=3), st.lists(odd_rows, min_size=1, max_size=3))
def test_odd_pages_read_together_are_those_read_one_by_one(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    same_pages([json.dumps({"d": {"results": part}}).encode() for part in (first, second)])


@examples(300)
@given(st.data())
def test_a_link_seen_from_the_end_is_the_one_that_reading_finds(data: st.DataObject) -> None:
    (body, *_) = data.draw(chains())
    assert quick.link_of(body) == (None if b"\\/" in body[-60:] else "https://x/api?$skiptoken=0")
    body = garbled(body, data.draw)
    found = quick.link_of(body)
    with suppress(ValueError, RecursionError):
        answer = json.loads(body)
        assert found is None or found == answer["d"]["__next"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"d":{"results":[],"__next":"u"}}',
        b'{"d":{"results":[{}]}}',
        b'{"d":[{}]}',
        b'{"d":{"__next":"u","results":[{}]}}',
        b'{"d":{"results":[{"Xs":"}],\\"__next\\":\\"u\\"}}"}]}}',
        b'{"d":{"results":[{}],"__next":"u"}',
        b'<html>}],"__next":"u"}}',
        b"",
    ],
)
def test_no_link_is_seen_where_there_is_none_or_no_row(body: bytes) -> None:
    assert quick.link_of(body) is None
