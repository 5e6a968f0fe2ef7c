"""Replies of the sandbox beside recorded ones: envelope, links, names and kinds of values.

Each file in ``shapes/`` describes one recorded reply (2026: a company in France; 2013: one in the
Netherlands, when there were fewer columns). It names columns and kinds and holds no recorded value.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from exact_source.sandbox import Sandbox
from tests.support.sandbox_kit import Caller, new_box

FOLDER = Path(__file__).with_name("shapes")
SHAPES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Columns that are newer than a recorded reply.
NEWER = {"IsMarkAsPaidEditable", "MarkAsPaid"}
# Undocumented, but it answers (API 12.16); left out because its rows repeat those of TransactionLines.
LEFT_OUT = {"financialtransaction/Transactions"}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def box() -> Sandbox:
    """Enough rows for two pages of G/L accounts."""
    box = new_box()
    for number in range(80):
        row = {"Code": f"{9100 + number}", "Description": "Extra"}
        box.insert("financial/GLAccounts", box.divisions[0], row)
    return box


def kind(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str() if value.startswith("/Date("):
            return "date"
        case str() if GUID.fullmatch(value):
            return "guid"
    return "text"


def kinds(shape: Row) -> dict[str, str]:
    """The kind of each column that had a value, and an empty text for the others."""
    found: dict[str, str] = {}
    for name, columns in shape["columns"].items():
        found |= dict.fromkeys(columns.split(), {"null": "", "int64": "text"}.get(name, name))
    return found


def ask(box: Sandbox, shape: Row) -> Any:
    """The same call, of the page of the shape."""
    caller, path = Caller(box), shape["path"]
    if path == "current/Me":
        return caller.follow("/api/v1/current/Me").json()["d"]
    options = dict(shape.get("options", {}))
    if options.pop("$skiptoken", None):  # the second page of a `$top` that began with a page more
        options["$top"] = str(int(options["$top"]) + 60)
        first = caller.get(path, options).json()["d"]
        return caller.follow(first["__next"]).json()["d"]
    if shape["envelope"] == "single":  # also what a POST gives back
        (key,) = box.state.catalogue.endpoint(path).key
        path = f"{path}(guid'{box.rows(path, caller.division)[0][key]}')"
    answer = caller.get(path, options)
    assert answer.status_code == 200, answer.text
    return answer.json()["d"]


def link(uri: str) -> str:
    """The form of an address: the path behind the division, its key made unrecognizable."""
    path = re.sub(r"^.*?/api/v1/(\d+/)?", "", uri)
    return re.sub(r"\(\d+\)", "(1)", re.sub(r"guid'[^']+'", "guid'...'", path))


def assert_rows(rows: list[Row], shape: Row, *, is_old: bool) -> None:
    collections, wanted = shape.get("collections", {}), kinds(shape)
    for row in rows:
        assert row["__metadata"]["type"] == shape["type"]
        assert link(row["__metadata"]["uri"]) == shape["link"]
        names = row.keys() - {"__metadata"}
        assert {*wanted, *collections} - names == set(), "columns that the sandbox lacks"
        assert is_old or names - NEWER <= {*wanted, *collections}, "columns that were not there"
        for name, inner in collections.items():
            if inner == "deferred":
                uri = row["__metadata"]["uri"]
                assert row[name] == {"__deferred": {"uri": f"{uri}/{name}"}}
            else:
                assert row[name].keys() - {"__next"} == {"results"}
                if isinstance(inner, dict):
                    assert_rows(row[name]["results"], inner, is_old=is_old)
        found = {n: kind(row[n]) for n in wanted if row.get(n) is not None}
        assert {n: (k, wanted[n]) for n, k in found.items() if wanted[n] not in {"", k}} == {}
    for name, length in shape.get("padded", {}).items():
        for text in (row[name] for row in rows if row.get(name) is not None):
            assert len(text) >= abs(length)
            assert text == (
                text.lstrip().rjust(-length) if length < 0 else text.rstrip().ljust(length)
            )


@pytest.mark.parametrize("name", [n for n, s in SHAPES.items() if s["path"] not in LEFT_OUT])
def test_reply_has_the_shape_of_the_recorded_one(box: Sandbox, name: str) -> None:
    shape = SHAPES[name]
    body = ask(box, shape)
    if shape["envelope"] == "bare":
        assert isinstance(body, list)
        rows = body
    elif shape["envelope"] == "single":
        assert "results" not in body
        rows = [body]
    else:
        assert {"results"} <= body.keys() <= {"results", "__next"}
        rows = body["results"]
    if "next" in shape:
        query = urlsplit(body["__next"]).query
        assert [part.split("=")[0] for part in query.split("&")] == shape["next"]
    if "type" in shape:
        assert rows
        assert_rows(rows, shape, is_old=shape["year"] < 2026)


def test_only_an_undocumented_endpoint_is_left_out(box: Sandbox) -> None:
    recorded = {shape["path"] for shape in SHAPES.values()}
    assert recorded - box.state.catalogue.endpoints.keys() == LEFT_OUT
    columns = box.state.catalogue.endpoint("financialtransaction/TransactionLines").columns
    shape = next(s for s in SHAPES.values() if s["path"] in LEFT_OUT)
    assert kinds(shape).keys() - columns.keys() == {"TypeDescription"}
