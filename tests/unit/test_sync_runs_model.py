"""The model ``sync_runs`` of the dbt package, as the report renders it."""

from __future__ import annotations

import duckdb
import pytest

from exact_source.report.models import Models, models_folder

AT = "timestamptz '2026-03-01 10:00:00+00' as started_at, timestamptz '2026-03-01 10:01:00+00' as ended_at"


@pytest.mark.parametrize(
    ("status", "code", "failed"),
    [
        ("complete", "", 0),
        ("failed", "contract", 1),
        ("failed", None, 1),  # loaded by a version without the column
        ("refused", "refused", 1),
        ("refused", "unavailable", 0),
        ("skipped", "blocked", 0),
        ("incomplete", "empty", 0),
    ],
)
def test_what_exact_does_not_offer_is_not_a_failure(
    status: str, code: str | None, failed: int
) -> None:
    models = Models(models_folder(), "duckdb", lambda _table: "logged")
    sql = models.render("select failed_streams from {{ ref('exact_online__sync_runs') }}")
    with duckdb.connect() as database:
        database.execute(
            "create table logged as select 'r' as run_id, 1 as division, 'A' as division_name, "
            f"'projects' as entity, 'sync' as feed, {AT}, 1 as calls, 0 as shared_calls, 0 as rows, "
            f"0 as deleted, $status as status, '' as error, cast($code as varchar) as code",
            {"status": status, "code": code},
        )
        assert database.execute(sql).fetchall() == [(failed,)]


@pytest.mark.parametrize(
    ("ids", "runs"),
    [
        (("'a'", "'b'"), [("a", 0, 20, 2), ("b", 5, 25, 2)]),
        (
            ("null", "null"),
            [(None, 0, 11, 2), (None, 13, 25, 2)],
        ),  # loaded by a version without the column
    ],
    ids=["with ids", "without"],
)
def test_syncs_that_overlap_are_distinguished_by_their_id(
    ids: tuple[str, str], runs: list[tuple[str | None, int, int, int]]
) -> None:
    models = Models(models_folder(), "duckdb", lambda _table: "logged")
    sql = models.render(
        "select run_id, minute(started_at), minute(ended_at), streams"
        " from {{ ref('exact_online__sync_runs') }} order by run_number"
    )
    first, second = ids
    minutes = [(first, 0, 10), (second, 5, 11), (first, 13, 20), (second, 16, 25)]
    with duckdb.connect() as database:
        database.execute("set timezone = 'UTC'")
        rows = [
            f"select cast({run} as varchar) as run_id, 1 as division, 'A' as division_name,"
            f" 'accounts' as entity, 'sync' as feed,"
            f" timestamptz '2026-03-01 10:{begin:02}:00+00' as started_at,"
            f" timestamptz '2026-03-01 10:{end:02}:00+00' as ended_at, 1 as calls, 0 as shared_calls,"
            " 0 as rows, 0 as deleted, 'complete' as status, '' as error, '' as code"
            for run, begin, end in minutes
        ]
        database.execute(f"create table logged as {' union all '.join(rows)}")
        assert database.execute(sql).fetchall() == runs
