"""Arrow work between a page and the load."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source.engine import rows

PAGE = pa.schema([("division", pa.int32()), ("id", pa.string()), ("modified", pa.timestamp("us")),
                  ("notes", pa.string())])  # fmt: skip
FULL = pa.schema([*PAGE, rows.SYNCED_AT, rows.DELETED_AT])
AT = 1_773_144_000.25
ids = st.text("abc", min_size=1, max_size=3)
moments = st.datetimes(min_value=datetime.fromisoformat("1990-01-01")).map(
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000, fold=0)
)
page_rows = st.lists(
    st.fixed_dictionaries(
        {
            "division": st.just(7),
            "id": ids,
            "modified": st.none() | moments,
            "notes": st.none() | st.text(),
        }
    ),
    max_size=12,
)


def page(found: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(found, schema=PAGE)


def content(row: dict[str, Any]) -> str:
    return repr(sorted(row.items()))


@given(page_rows)
def test_a_stamp_changes_no_row(found: list[dict[str, Any]]) -> None:
    stamped = rows.stamp(page(found), AT)
    assert stamped.schema == FULL
    assert stamped.drop_columns(["_synced_at", "_deleted_at"]).to_pylist() == found
    assert {r["_synced_at"].timestamp() for r in stamped.to_pylist()} <= {AT}
    assert {r["_deleted_at"] for r in stamped.to_pylist()} <= {None}


@given(page_rows)
def test_versions_of_modified_are_the_milliseconds_of_its_digits(
    found: list[dict[str, Any]],
) -> None:
    epoch = datetime.fromisoformat("1970-01-01")
    millisecond = timedelta(milliseconds=1)
    assert rows.versions(page(found), "modified").to_pylist() == [
        None if r["modified"] is None else (r["modified"] - epoch) // millisecond for r in found
    ]


@given(page_rows, page_rows)
def test_known_rows_and_no_others_are_dropped(
    first: list[dict[str, Any]], more: list[dict[str, Any]]
) -> None:
    columns = PAGE.names
    marks = rows.fingerprints(page(first), columns, "modified", -(10**15))
    assert marks is not None
    ceiling = max(marks.values(), default=0)
    both = page([*first, *more])
    kept = rows.drop_known(both, columns, "modified", frozenset(marks), ceiling=ceiling)

    known = [r for r in first if r["modified"] is not None]
    due = [r for r in [*first, *more] if r not in known]
    assert sorted(map(content, kept.to_pylist())) == sorted(map(content, due)) or not marks


def test_rows_without_a_version_are_never_dropped() -> None:
    one = page([{"division": 7, "id": "a", "modified": None, "notes": None}])
    kept = rows.drop_known(one, ["id"], "modified", frozenset({"x"}), ceiling=10**15)
    assert kept.num_rows == 1


def test_too_many_rows_to_remember_are_not_remembered() -> None:
    many = pa.table({"id": [str(n) for n in range(1000)], "timestamp": list(range(1000))})
    assert rows.fingerprints(many, ["id"], "timestamp", 0) is None
    assert len(rows.fingerprints(many, ["id"], "timestamp", 990) or ()) == 10


@given(st.lists(ids, min_size=1, max_size=5, unique=True))
def test_a_deletion_names_its_rows_and_nothing_else(keys: list[str]) -> None:
    gone = rows.deletions(FULL, {"division": [7] * len(keys), "id": keys}, at=AT)
    assert gone.schema == FULL
    for key, row in zip(keys, gone.to_pylist(), strict=True):
        assert (row["division"], row["id"]) == (7, key)
        assert (row["modified"], row["notes"]) == (None, None)
        assert row["_deleted_at"].timestamp() == AT


def test_a_soft_deletion_keeps_every_value_also_of_columns_that_exact_dropped() -> None:
    stored = rows.stamp(page([{"division": 7, "id": "a", "modified": None, "notes": "x"}]), 1.0)
    stored = stored.append_column("old", pa.array(["kept"])).append_column(
        "_dlt_id", pa.array(["internal"])
    )
    (row,) = rows.mark_deleted(stored, FULL, at=AT).to_pylist()
    assert (row["id"], row["notes"], row["old"]) == ("a", "x", "kept")
    assert row["_deleted_at"].timestamp() == row["_synced_at"].timestamp() == AT
    assert "_dlt_id" not in row


@given(page_rows)
def test_a_digest_depends_on_the_content_and_not_on_when_it_was_read(
    found: list[dict[str, Any]],
) -> None:
    one = rows.digest([rows.stamp(page(found), 1.0)])
    parts = [rows.stamp(page(found[:1]), 2.0), rows.stamp(page(found[1:]), 3.0)]
    assert rows.digest(parts) == one
    other = [*found, {"division": 7, "id": "new", "modified": None, "notes": None}]
    assert rows.digest([rows.stamp(page(other), 1.0)]) != one


@given(page_rows, page_rows)
def test_tables_with_other_columns_are_put_together(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    extra = page(second).append_column("_extra", pa.array(["{}"] * len(second), pa.string()))
    whole = rows.concat([page(first), extra]).to_pylist()
    assert [r["_extra"] for r in whole] == [None] * len(first) + ["{}"] * len(second)
    assert [r["id"] for r in whole] == [r["id"] for r in [*first, *second]]


def test_positions_count_on_over_pages() -> None:
    one = pa.table({"x": [1, 2]})
    assert rows.number(one, 3).column("_row").to_pylist() == [3, 4]


def test_rows_without_a_part_of_their_key_are_separated() -> None:
    whole, half = {"division": 7, "id": "a"}, {"division": 7, "id": None}
    blank = {"modified": None, "notes": None}
    found = page([whole | blank, half | blank])
    kept, keyless = rows.with_key(found, ["division", "id"])
    assert (kept.to_pylist(), keyless.to_pylist()) == ([whole | blank], [half | blank])

    kept, keyless = rows.with_key(kept, ["division", "id"])
    assert (kept.num_rows, keyless.num_rows) == (1, 0)


def test_the_newest_state_of_each_row_is_kept_and_the_last_one_without_versions() -> None:
    days = [datetime.fromisoformat(f"2026-03-0{day}") for day in (2, 1)]
    found = page(
        [{"division": 7, "id": "a", "modified": day, "notes": day.isoformat()} for day in days]
        + [{"division": 7, "id": "b", "modified": None, "notes": "other"}]
    )
    newest = rows.newest_of_each(found, ["division", "id"], "modified")
    assert newest.column("notes").to_pylist() == [days[0].isoformat(), "other"]
    last = rows.newest_of_each(found, ["division", "id"], None)
    assert last.column("notes").to_pylist() == [days[1].isoformat(), "other"]


def test_key_columns_are_declared_and_have_an_emptiest_value() -> None:
    declared = rows.with_required(page([]), {"id"})
    assert [f.nullable for f in declared.schema] == [True, False, True, True]

    kinds = [pa.string(), pa.bool_(), pa.int32(), pa.timestamp("us")]
    empty = ["", False, 0, datetime.fromisoformat("1970-01-01")]
    assert [rows.zero(kind) for kind in kinds] == empty


LISTED = page(
    [
        {"division": code, "id": f"c{code}", "modified": None, "notes": notes}
        for code, notes in ((1, "a"), (2, None))
    ]
)


def stored(table: pa.Table = LISTED, **columns: pa.Array) -> pa.Table:
    """Rows as a destination returns them: stamped at another time, in another order, with dlt's columns."""
    table = rows.stamp(table, AT - 9).sort_by([("division", "descending")])
    return pa.table({**{name: table.column(name) for name in table.column_names}, **columns})


DELETED = pa.array([rows.instant(AT), None], rows.INSTANT)


@pytest.mark.parametrize(
    ("found", "are_stored"),
    [
        (stored(), True),
        (stored(_dlt_load_id=pa.array(["1", "1"]), withdrawn=pa.nulls(2, pa.string())), True),
        (stored(division=pa.array([2, 1], pa.int64())), True),
        (stored(LISTED.slice(0, 1)), False),
        (stored(pa.concat_tables([LISTED, LISTED.slice(0, 1)])), False),
        (stored(notes=pa.array(["b", "a"])), False),
        (stored(withdrawn=pa.array(["x", None])), False),
        (stored(_deleted_at=DELETED), False),
        (stored(division=pa.array(["two", "one"])), False),
        (stored().drop_columns(["notes"]), False),
        (None, False),
    ],
)
def test_only_a_destination_with_the_same_rows_has_them(
    found: pa.Table | None, are_stored: bool
) -> None:
    assert rows.are_stored(rows.stamp(LISTED, AT), found, "division") == are_stored


def test_rows_that_a_destination_marks_as_deleted_do_not_count() -> None:
    found = stored(_deleted_at=DELETED)
    assert rows.are_stored(rows.stamp(LISTED.slice(0, 1), AT), found, "division")
