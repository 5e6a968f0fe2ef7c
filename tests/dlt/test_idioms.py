"""What dlt's users do with a source, one idiom a test; docs/dlt.md states the results."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pytest
from dlt.extract.reference import SourceReference
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source import by_row, exact_online, run_to_end
from exact_source.errors import ConfigurationError, ExitCode, causes
from exact_source.loading import writer_lock
from exact_source.loading.writer import Writer
from tests.support.world import MIDDAY, World, billed, digits, forget_clients

ACCOUNTS, JOURNALS = "sync/CRM/Accounts", "financial/Journals"
SHARED = {"hrm/Divisions", "system/Divisions", "sync/Deleted"}  # lists that all entities use
Make = Callable[..., Any]
Shows = Callable[[str, str], None]
RECORD = Path(__file__).parents[2] / "tools" / "docs" / "idioms.json"


@pytest.fixture
def shows(request: pytest.FixtureRequest) -> Shows:
    """Compares what a test has seen with its row on the page; ``EXACT_RECORD=1`` keeps it as that row."""
    name = request.function.__name__

    def show(idiom: str, result: str) -> None:
        rows = json.loads(RECORD.read_text())
        row = {"idiom": idiom, "result": result}
        if os.environ.get("EXACT_RECORD"):
            RECORD.write_text(json.dumps({**rows, name: row}, indent=2, ensure_ascii=False) + "\n")
        else:
            assert rows.get(name) == row, "run python -m tools.docs.dlt_pages --run"

    return show


def refused(error: pytest.ExceptionInfo[BaseException]) -> str:
    """The message of a refusal, as a cell of a table."""
    return f"refused before the first call: `{last_of(error)}`"


def last_of(error: pytest.ExceptionInfo[BaseException]) -> str:
    """The message of the error below those of dlt."""
    return str(list(causes(error.value))[-1])


@pytest.fixture
def make(world: World) -> Make:
    """The source, as a script makes it."""

    def source(**options: Any) -> Any:
        world.clock.sandbox.advance(120)
        return exact_online(**arguments(world), **{"entities": ["accounts"], **options})

    return source


def arguments(world: World) -> dict[str, Any]:
    return {
        "base_url": world.base_url,
        "client_id": world.box.client_id,
        "client_secret": world.box.client_secret,
        "token_storage": world.storage,
        "clock": world.clock,
    }


def rows_of(world: World, path: str = ACCOUNTS) -> int:
    return sum(len(world.box.rows(path, d)) for d in world.box.divisions)


def columns(tables: list[pa.Table]) -> set[str]:
    return {name for table in tables for name in table.column_names}


def command(world: World, *words: str) -> str:
    """What the command ``dlt pipeline`` prints."""
    tool = Path(sys.executable).with_name("dlt")
    place = str(world.folder / "pipelines")
    done = subprocess.run(
        [tool, "--non-interactive", "pipeline", "--pipelines-dir", place, "exact_online", *words],
        cwd=world.folder,
        env=os.environ | {"DESTINATION__DUCKDB__CREDENTIALS": str(world.folder / "exact.duckdb")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def from_the_beginning(calls: Any) -> list[Any]:
    return [c for c in calls.to(ACCOUNTS) if "Timestamp gt 1L" in c.query.get("$filter", "")]


# -- without a pipeline ------------------------------------------------------------------------


def test_a_resource_is_iterated_without_a_pipeline_page_by_page(
    world: World, make: Make, shows: Shows
) -> None:
    with world.watch() as calls:
        pages = list(make().accounts.add_limit(2))

    assert [page.num_rows for page in pages] == [6, 2]
    assert {"id", "name", "division", "_synced_at"} <= columns(pages)
    assert len(billed(calls.to(ACCOUNTS))) == 2
    assert {c.path for c in billed(calls.all)} <= {ACCOUNTS, *SHARED}
    assert not (world.folder / "exact.duckdb").exists()
    shows(
        "`list(source.accounts.add_limit(2))`",
        f"{len(pages)} pages, {len(billed(calls.to(ACCOUNTS)))} calls for rows of the entity, no pipeline",
    )


def test_a_loop_that_ends_early_makes_no_further_call(
    world: World, make: Make, shows: Shows
) -> None:
    with world.watch() as calls:
        for _page in make().accounts:
            break

    assert len(calls.to(ACCOUNTS)) <= 2  # dlt asks for the next page while it hands over this one
    assert {c.path for c in billed(calls.all)} <= {ACCOUNTS, *SHARED}
    shows(
        "`for page in source.accounts`, left after the first page",
        "at most 2 calls for rows of the entity",
    )


def test_without_a_limit_all_rows_come_and_none_of_the_sources_own(
    world: World, make: Make
) -> None:
    source = make(entities=["accounts", "journals"])
    pages = list(source.accounts)
    assert sum(page.num_rows for page in pages) == rows_of(world)
    assert sum(page.num_rows for page in source.journals) == rows_of(world, JOURNALS)

    world.pipeline.run(source)  # which the loops before have not disturbed
    assert len(world.table("accounts")) == rows_of(world)
    assert list(make().accounts) == pages or sum(p.num_rows for p in pages) == rows_of(world)


def test_iterating_tells_of_a_refused_entity(world: World, make: Make) -> None:
    world.box.deny(world.division, ACCOUNTS)
    with pytest.raises(Exception, match=r"accounts of division .*: refused"):
        list(make().accounts)


# -- add_limit, add_map, add_filter ------------------------------------------------------------


def test_a_limit_counts_pages_stops_calls_and_the_next_run_goes_on(
    world: World, make: Make, shows: Shows
) -> None:
    limited = make()
    limited.accounts.add_limit(1)
    with world.watch() as calls:
        world.pipeline.run(limited)
    assert len(calls.to(ACCOUNTS)) == 1
    assert {c.path for c in billed(calls.all)} <= {ACCOUNTS, *SHARED}
    assert len(world.table("accounts")) == 6
    (outcome,) = world.outcomes()
    assert (outcome["status"], outcome["rows"]) == ("incomplete", 6)

    run_to_end(world.pipeline, make())
    world.assert_equal("accounts")
    shows(
        "`add_limit(1)`",
        f"{len(calls.to(ACCOUNTS))} page, then no call for rows; the next run continues",
    )


def test_run_to_end_of_a_limited_source_ends(world: World, make: Make) -> None:
    limited = make()
    limited.accounts.add_limit(1)
    outcome = run_to_end(world.pipeline, limited)
    assert outcome.exit_code == 3
    assert len(world.table("accounts")) == 6


def test_a_limit_by_time_or_rows_loads_whole_pages(world: World, make: Make, shows: Shows) -> None:
    limited = make()
    limited.accounts.add_limit(7, count_rows=True)
    world.pipeline.run(limited)
    assert 8 <= len(world.table("accounts")) < rows_of(world)
    shows(
        "`add_limit(7, count_rows=True)`, pages of 6 and 2 rows",
        f"{len(world.table('accounts'))} rows: whole pages",
    )


def test_maps_and_filters_get_the_tables_of_their_entity(
    world: World, make: Make, shows: Shows
) -> None:
    source = make(entities=["accounts", "journals"])
    seen: list[pa.Table] = []
    source.accounts.add_map(lambda table: table.drop_columns(["email"]))

    def look(table: pa.Table) -> bool:
        seen.append(table)
        return True

    source.accounts.add_filter(look)
    world.pipeline.run(source)

    assert "name" in columns(seen)
    assert "email" not in columns(seen)
    assert {row["email"] for row in world.table("accounts")} == {None}
    assert len(world.table("journals")) == rows_of(world, JOURNALS)
    shows(
        "`add_map`, `add_filter`",
        f"get Arrow tables of that entity ({type(seen[0]).__module__}.{type(seen[0]).__name__})",
    )


def test_a_function_of_one_row_changes_adds_and_leaves_out(
    world: World, make: Make, shows: Shows
) -> None:
    source = make()
    first = world.box.rows(ACCOUNTS, world.division)[0]["Name"]

    def change(row: dict[str, Any]) -> dict[str, Any] | None:
        if row["name"] == first:
            return None
        return {**row, "name": row["name"].upper(), "letters": len(row["name"])}

    source.accounts.add_map(by_row(change))
    world.pipeline.run(source)
    rows = world.table("accounts")

    assert rows
    assert first.upper() not in {row["name"] for row in rows}
    assert all(row["name"].isupper() and row["letters"] == len(row["name"]) for row in rows)
    again = make()
    again.accounts.add_map(by_row(change))
    with world.watch() as calls:
        outcome = run_to_end(world.pipeline, again)
    assert outcome.exit_code == 0
    assert not [r for r in outcome.results if r.rows], "what a filter drops is not read again"
    assert not from_the_beginning(calls)
    shows("`add_map(by_row(f))`", "`f` gets each row as a dictionary; `None` leaves it out")


def test_rows_that_a_filter_drops_altogether_are_not_read_again(world: World, make: Make) -> None:
    for _ in range(2):
        source = make()
        source.accounts.add_map(by_row(lambda _row: None))
        with world.watch() as calls:
            run_to_end(world.pipeline, source)
    assert not from_the_beginning(calls)


def test_history_and_a_map_are_refused_together(world: World, make: Make, shows: Shows) -> None:
    source = make(history="accounts")
    source.accounts.add_map(lambda table: table)
    with world.watch() as calls, pytest.raises(PipelineStepFailed, match="history") as refusal:
        world.pipeline.run(source)
    assert not len(calls)
    shows("`add_map` with `history`", refused(refusal))


FAILING_MAP = """
import json, sys, time
import dlt
from exact_source import FileTokenStorage, exact_online
from tests.support.sync_worker import AheadClock

given = json.loads(sys.argv[1])
database = dlt.destinations.duckdb(given["folder"] + "/exact.duckdb")
pipeline = dlt.pipeline("maps", destination=database, pipelines_dir=given["folder"])
source = exact_online(
    **given["app"],
    token_storage=FileTokenStorage(given["tokens"]),
    clock=AheadClock(given["now"] - time.time()),
)
source.accounts.add_map(lambda table: table.drop_columns(["no_such_column"]))
pipeline.run(source)
"""


@pytest.mark.nightly
def test_a_map_that_fails_is_all_that_is_printed(world: World) -> None:
    given = arguments(world)
    order = {
        "app": {name: given[name] for name in ("base_url", "client_id", "client_secret")},
        "folder": str(world.folder),
        "tokens": str(world.folder / "tokens.json"),
        "now": world.clock.now(),
    }
    done = subprocess.run(
        [sys.executable, "-c", FAILING_MAP, json.dumps(order)],
        cwd=RECORD.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no_such_column" in done.stderr.strip().splitlines()[-1]
    assert done.stderr.startswith("Traceback"), done.stderr


# -- hints -------------------------------------------------------------------------------------


def test_hints_of_columns_reach_the_schema(world: World, make: Make, shows: Shows) -> None:
    hints: dict[str, Any] = {
        "email": {"description": "hashed", "x-pii": True, "precision": 320},
        "credit_line_sales": {"data_type": "decimal", "precision": 18, "scale": 2},
    }

    def source() -> Any:
        made = make()
        made.accounts.apply_hints(columns=deepcopy(hints))
        return made

    amount = {"CreditLineSales": 1250.25}
    for n in range(2):
        world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[n], amount)
        world.pipeline.run(source())

    held: Any = world.pipeline.default_schema.tables["accounts"]["columns"]
    for column, wanted in hints.items():
        assert wanted.items() <= held[column].items()
    world.assert_equal("accounts")
    kinds = dict(world.sql("SELECT column_name, column_type FROM (DESCRIBE accounts)"))
    assert kinds["credit_line_sales"] == "DECIMAL(18,2)"
    shows("`apply_hints(columns=...)`", "works: `data_type`, `precision`, descriptions, own hints")


def test_a_resource_that_is_run_alone(world: World, make: Make, shows: Shows) -> None:
    world.pipeline.run(make().accounts)
    world.box.delete(ACCOUNTS, world.division, world.keys(ACCOUNTS)[1])
    with world.watch() as calls:
        world.pipeline.run(make().accounts)
    world.assert_equal("accounts")
    assert not from_the_beginning(calls)
    assert {t["name"] for t in world.pipeline.default_schema.data_tables()} == {"accounts"}
    shows("`pipeline.run(source.accounts)`", "works, but nothing is written to `_exact_syncs`")


def test_history_of_a_resource_that_is_run_alone(world: World, make: Make, shows: Shows) -> None:
    source = make(history="accounts", entities=["accounts", "journals"])
    with world.watch() as calls, pytest.raises(PipelineStepFailed, match="history") as refusal:
        world.pipeline.run([source.accounts, source.journals])
    assert not len(calls)
    world.pipeline.run(make(history="accounts").with_resources("accounts"))
    assert len(world.table("accounts_history")) == rows_of(world)
    shows("`pipeline.run(source.accounts)` with `history`", refused(refusal))


def test_rows_without_a_key_are_not_lost_by_a_resource_that_is_run_alone(
    world: World, make: Make, shows: Shows
) -> None:
    path, too_large = "documents/DocumentTypes", 2**40  # for the column
    world.box.insert(path, world.division, {"ID": too_large, "Description": "odd one"})
    for _ in range(2):
        with pytest.raises(PipelineStepFailed, match="without a key"):
            world.pipeline.run(make(entities=["document_types"]).document_types)
    world.pipeline.run(make(entities=["document_types"]))
    loaded = {(row["division"], row["id"]) for row in world.table("document_types")}
    assert loaded == {
        (d, key) for d in world.box.divisions for key in world.keys(path, d) if key != too_large
    }
    assert [row["reason"] for row in world.table("_exact_rejected")] == ["no id"]
    shows(
        "`pipeline.run(source.document_types)`, if Exact sends a row without a key",
        "fails and loads nothing; `pipeline.run(source)` stores the row in `_exact_rejected`",
    )


def test_a_failure_of_a_resource_that_is_run_alone_is_reported(
    world: World, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    world.box.deny(world.division, ACCOUNTS)
    world.pipeline.run(make().accounts)
    assert f"accounts of division {world.division}: refused" in caplog.text


def test_another_table_gets_changes_and_deletions(world: World, make: Make, shows: Shows) -> None:
    def source() -> Any:
        made = make()
        made.accounts.apply_hints(table_name="klanten")
        return made

    world.pipeline.run(source())
    keys = world.keys(ACCOUNTS)
    world.box.update(ACCOUNTS, world.division, keys[0], {"Name": "Renamed"})
    world.box.delete(ACCOUNTS, world.division, keys[1])
    outcome = run_to_end(world.pipeline, source())

    held = {row["id"]: row["name"] for row in world.table("klanten", world.division)}
    assert outcome.exit_code == 0
    assert held == {r["ID"]: r["Name"] for r in world.box.rows(ACCOUNTS, world.division)}
    assert "accounts" not in {t["name"] for t in world.pipeline.default_schema.data_tables()}
    shows("`apply_hints(table_name=...)`", "works, with changes and deletions")


OTHER_KEYS: list[dict[str, Any]] = [
    {"primary_key": "code"},
    {"primary_key": lambda _row: "code"},
    {"columns": {"code": {"primary_key": True}}},
    {"columns": [{"name": "code", "merge_key": True}]},
    {"merge_key": ["division", "code"]},
]


def test_another_key_is_refused_before_any_call(world: World, make: Make, shows: Shows) -> None:
    with world.watch() as calls:
        for hints in OTHER_KEYS:
            with pytest.raises(ConfigurationError, match="division, id") as refusal:
                make().accounts.apply_hints(**hints)
        for columns in (OTHER_KEYS[2]["columns"], OTHER_KEYS[3]["columns"]):
            with pytest.raises(PipelineStepFailed, match="division, id"):
                world.pipeline.run(make(), columns=columns)
    assert not len(calls)
    make().accounts.apply_hints(primary_key=["division", "id"])
    make().accounts.apply_hints(
        columns={name: {"primary_key": True} for name in ("division", "id")}
    )
    shows("`apply_hints(primary_key=...)`, `merge_key`, also of `columns`", refused(refusal))


def test_a_cursor_of_dlt_is_refused_and_the_window_is_named(
    world: World, make: Make, shows: Shows
) -> None:
    by_position = (None,) * 6
    with world.watch() as calls:
        for end in (None, MIDDAY + timedelta(days=1)):
            cursor = dlt.sources.incremental("modified", initial_value=MIDDAY, end_value=end)
            with pytest.raises(ConfigurationError, match=r"start_date=.*end_date=") as refusal:
                make().accounts.apply_hints(incremental=cursor)
            with pytest.raises(ConfigurationError, match=r"start_date=.*end_date="):
                make().accounts.apply_hints(*by_position, cursor)
    assert not len(calls)
    shows("`apply_hints(incremental=dlt.sources.incremental(...))`", refused(refusal))


def test_a_copy_under_another_name_gets_changes_and_deletions(
    world: World, make: Make, shows: Shows
) -> None:
    world.pipeline.run(make().accounts.with_name("klanten"))
    world.box.delete(ACCOUNTS, world.division, world.keys(ACCOUNTS)[1])
    world.pipeline.run(make().accounts.with_name("klanten"))
    held = {row["id"] for row in world.table("klanten", world.division)}
    assert held == set(world.keys(ACCOUNTS))
    shows("`with_name(...)`", "works, with deletions")


def test_one_entity_is_not_read_twice_by_one_source(world: World, make: Make, shows: Shows) -> None:
    source = make()
    with (
        world.watch() as calls,
        pytest.raises(PipelineStepFailed, match="two resources") as refusal,
    ):
        world.pipeline.run([source.accounts, source.accounts.with_name("klanten")])
    assert not len(calls)
    shows("an entity and its copy in one source", refused(refusal))


@pytest.mark.parametrize("hint", ["replace", {"disposition": "replace"}])
def test_replace_is_refused_and_nothing_is_lost(
    world: World, make: Make, shows: Shows, hint: Any
) -> None:
    world.pipeline.run(make())
    source = make()
    source.accounts.apply_hints(write_disposition=hint)
    with world.watch() as calls, pytest.raises(PipelineStepFailed) as refusal:
        world.pipeline.run(source)
    assert not len(calls)
    assert run_to_end(world.pipeline, source).exit_code == ExitCode.USAGE
    world.pipeline.run(make())
    world.assert_equal("accounts")
    shows('`apply_hints(write_disposition="replace")`', refused(refusal))


@pytest.mark.parametrize("hint", ["append", {"disposition": "append"}])
def test_append_keeps_all_states(world: World, make: Make, shows: Shows, hint: Any) -> None:
    for name in ("First", "Second"):
        world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0], {"Name": name})
        source = make()
        source.accounts.apply_hints(write_disposition=hint)
        world.pipeline.run(source)
    states = world.sql(f"SELECT name FROM accounts WHERE id = '{world.keys(ACCOUNTS)[0]}'")
    assert sorted(name for (name,) in states) == ["First", "Second"]
    shows('`apply_hints(write_disposition="append")`', "a log of all states, as `change_log=True`")


# -- windows -----------------------------------------------------------------------------------


def modified(world: World, division: int) -> list[datetime]:
    return sorted(row["Modified"] for row in world.box.rows("crm/Accounts", division))


def spread(world: World) -> None:
    """Let every account have been changed on a day of its own."""
    for division in world.box.divisions:
        for n, key in enumerate(world.keys("crm/Accounts", division)):
            world.box.update(
                "crm/Accounts", division, key, {"Modified": digits(f"2024-01-{1 + n:02} 12:00")}
            )


def in_window(world: World, start: str, end: str) -> set[str]:
    limits = [datetime.fromisoformat(text) for text in (start, end)]
    return {
        row["ID"]
        for division in world.box.divisions
        for row in world.box.rows("crm/Accounts", division)
        if limits[0] <= row["Modified"] < limits[1]
    }


def test_a_window_asks_for_its_rows_only_and_keeps_the_cursor(
    world: World, make: Make, shows: Shows
) -> None:
    spread(world)
    run_to_end(world.pipeline, make(start_date="2024-01-05"))
    before = world.pipeline.state["sources"]["exact_online"]["resources"]["accounts"]["divisions"]
    recent = {row["id"] for row in world.table("accounts")}

    window = make(start_date="2024-01-02", end_date="2024-01-04")
    with world.watch() as calls:
        outcome = run_to_end(world.pipeline, window)
    assert outcome.exit_code == 0
    assert {c.path for c in billed(calls.all)} <= {
        "bulk/CRM/Accounts",
        "hrm/Divisions",
        "system/Divisions",
    }
    assert {row["id"] for row in world.table("accounts")} == recent | in_window(
        world, "2024-01-02", "2024-01-04"
    )
    after = world.pipeline.state["sources"]["exact_online"]["resources"]["accounts"]["divisions"]
    assert after == before

    with world.watch() as calls:
        outcome = run_to_end(world.pipeline, make(start_date="2024-01-05"))
    assert outcome.exit_code == 0
    assert not [r for r in outcome.results if r.rows]
    assert not from_the_beginning(calls)
    shows("`start_date` and `end_date`", "rows of the window only; the cursor of the syncs stays")


def test_windows_of_other_pipelines_meet_in_one_table(
    world: World, make: Make, shows: Shows
) -> None:
    spread(world)
    windows = [("2024-01-01", "2024-01-03"), ("2024-01-03", "2024-01-06")]
    for n, (start, end) in enumerate(windows):
        pipeline = dlt.pipeline(
            f"backfill_{n}",
            destination=dlt.destinations.duckdb(str(world.folder / "exact.duckdb")),
            dataset_name=world.dataset,
            pipelines_dir=str(world.folder / "pipelines"),
        )
        assert run_to_end(pipeline, make(start_date=start, end_date=end)).exit_code == 0
    found = {row["id"] for row in world.table("accounts")}
    assert found == in_window(world, "2024-01-01", "2024-01-06")
    shows("windows in several pipelines", "load into one table")


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_windows_in_two_processes_at_once(
    kind: str, make_world: Callable[..., World], request: pytest.FixtureRequest, shows: Shows
) -> None:
    place = request.getfixturevalue("postgres") if kind == "postgres" else ""
    world = make_world(dlt.destinations.postgres(place) if place else None)
    spread(world)
    place = place or str(world.folder / "exact.duckdb")
    recent: dict[str, Any] = {"entities": ["accounts"], "start_date": "2024-01-05"}
    run_to_end(world.pipeline, exact_online(**arguments(world), **recent))
    del world.pipeline  # which may have the file of DuckDB open
    forget_clients()
    gc.collect()

    windows = [("2024-01-01", "2024-01-03"), ("2024-01-03", "2024-01-05")]
    world.clock.sandbox.advance(120)
    found = at_once([window_order(world, kind, place, window) for window in windows])

    assert [code for code, _ in found] == [0, 0], found
    world.clock.sandbox.advance(120)
    world.pipeline = world.new_pipeline()
    assert {row["id"] for row in world.table("accounts")} == in_window(
        world, "2024-01-01", "2025-01-01"
    )
    with world.watch() as calls:
        outcome = run_to_end(world.pipeline, exact_online(**arguments(world), **recent))
    assert outcome.exit_code == 0
    assert not [r for r in outcome.results if r.rows]
    assert not from_the_beginning(calls)
    shows(
        "windows in two processes at once, after a sync",
        "both load; the cursor of the syncs stays",
    )


def window_order(world: World, kind: str, place: str, window: tuple[str, str]) -> dict[str, Any]:
    """What a process needs to load a window."""
    given = arguments(world)
    return {
        "kind": kind,
        "place": place,
        "name": f"backfill_{window[0].replace('-', '')}",
        "dataset": world.dataset,
        "folder": str(world.folder / "pipelines"),
        "window": window,
        "tokens": str(world.folder / "tokens.json"),
        "now": world.clock.now(),
        **{name: given[name] for name in ("base_url", "client_id", "client_secret")},
    }


def at_once(orders: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Exit code and messages of processes that begin together."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.support.window_worker", json.dumps(order)],
                    cwd=RECORD.parents[2],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for order in orders
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [(process.wait(), process.communicate()[1]) for process in started]


@pytest.mark.parametrize("to_end", [True, False])
def test_a_window_waits_for_another_load(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch, *, to_end: bool
) -> None:
    spread(world)
    take, tries = writer_lock._take_lock, 0

    def taken_twice(*given: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise writer_lock.TakenError(Writer.of("another", 0.0))
        return take(*given)

    monkeypatch.setattr(writer_lock, "_take_lock", taken_twice)
    monkeypatch.setattr(writer_lock, "POLL_S", 0.0)
    window = make(start_date="2024-01-01", end_date="2024-01-03")
    if to_end:
        assert run_to_end(world.pipeline, window).exit_code == 0
    else:
        world.pipeline.run(window)
    assert tries == 3
    assert world.table("accounts")


def test_a_window_that_was_cut_off_goes_on(world: World, make: Make) -> None:
    spread(world)
    window = {"start_date": "2024-01-01", "end_date": "2024-02-01", "max_pages": 1}
    world.pipeline.run(make(**window))
    assert len(world.table("accounts")) < rows_of(world)
    assert run_to_end(world.pipeline, make(**window)).exit_code == 0
    assert {r["id"] for r in world.table("accounts")} == in_window(
        world, "2024-01-01", "2024-02-01"
    )


def test_a_window_deletes_nothing(world: World, make: Make, shows: Shows) -> None:
    run_to_end(world.pipeline, make())
    kept = len(world.table("accounts"))
    world.box.delete(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0])
    run_to_end(world.pipeline, make(start_date="2000-01-01", end_date="2001-01-01"))
    assert len(world.table("accounts")) == kept
    run_to_end(world.pipeline, make())
    world.assert_equal("accounts")
    shows("rows deleted at Exact, during a window", "stay until the next sync")


@pytest.mark.parametrize("window", [("2024-02-01", "2024-01-01"), (None, "soon")])
def test_a_window_that_cannot_be_is_refused(make: Make, window: tuple[Any, Any]) -> None:
    with pytest.raises(ConfigurationError, match="end_date"):
        make(start_date=window[0], end_date=window[1])


# -- whole sources -----------------------------------------------------------------------------


def test_clones_and_arguments_of_dlt(world: World, shows: Shows) -> None:
    renamed = exact_online.clone(name="exact_nl", section="exact_online")
    source = renamed(**arguments(world), entities=["journals"])
    world.pipeline.run(source.clone())
    assert source.name == "exact_nl"
    assert len(world.table("journals")) == rows_of(world, JOURNALS)
    shows("`exact_online.clone(name=...)`, `source.clone()`", "work")


def test_arguments_of_the_factory(world: World, shows: Shows) -> None:
    renamed = exact_online.with_args(name="exact_be", section="exact_online")
    source = renamed(**arguments(world), entities=["journals"])
    world.pipeline.run(source)
    assert source.name == "exact_be"
    assert len(world.table("journals")) == rows_of(world, JOURNALS)
    shows("`exact_online.with_args(name=...)`", "works, as `clone`")


def test_the_source_is_found_by_its_name(world: World, shows: Shows) -> None:
    found = SourceReference.find("exact_source.exact_online")
    source = SourceReference.from_reference(
        "exact_source.exact_online", source_kwargs={**arguments(world), "entities": ["accounts"]}
    )
    world.pipeline.run(source)
    assert found.ref.ref.endswith("exact_online")
    assert len(world.table("accounts")) == rows_of(world)
    shows("`SourceReference.from_reference(name, ...)`", "works with `exact_source.exact_online`")


def test_two_sources_in_one_run(world: World, make: Make, shows: Shows) -> None:
    other = dlt.resource([{"id": 1}], name="budget")
    world.pipeline.run([make(), other, make(entities=["journals"])])
    assert len(world.table("accounts")) == rows_of(world)
    assert len(world.table("journals")) == rows_of(world, JOURNALS)
    assert len(world.table("budget")) == 1
    shows("two sources in one run", "works")


def test_one_entity_in_two_sources_of_one_run(world: World, make: Make, shows: Shows) -> None:
    world.pipeline.run(make(divisions=[world.division]))
    world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0], {"Name": "Changed"})
    sources = [make(divisions=[division]) for division in (world.division, world.other)]
    with pytest.raises(PipelineStepFailed, match="two sources") as refusal:
        world.pipeline.run(sources)
    for source in sources:
        world.pipeline.run(source)
    world.assert_equal("accounts")
    shows("two sources with the same entity in one run", f"refused: `{last_of(refusal)}`")


@pytest.mark.nightly
def test_one_entity_in_two_clones_of_one_run(world: World, make: Make, shows: Shows) -> None:
    def clone(**options: Any) -> Any:
        made = exact_online.clone(name="exact_be", section="exact_online")
        return made(**arguments(world), **{"entities": ["accounts"], **options})

    sources = [make(), clone()]
    with pytest.raises(PipelineStepFailed, match="two sources") as refusal:
        world.pipeline.run(sources)
    for source in sources:
        world.pipeline.run(source)
        world.assert_equal("accounts")
    world.box.update(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0], {"Name": "Changed"})
    world.box.delete(ACCOUNTS, world.other, world.keys(ACCOUNTS, world.other)[0])
    world.pipeline.run([make(), clone(entities=["journals"])])
    world.assert_equal("accounts")
    world.pipeline.run(clone())
    world.assert_equal("accounts")
    elsewhere = clone()
    elsewhere.accounts.apply_hints(table_name="accounts_be")
    world.pipeline.run([make(), elsewhere])
    world.assert_equal("accounts")
    assert len(world.table("accounts_be")) == rows_of(world)
    shows(
        "two clones with the same entity in one run, into one table",
        f"refused: `{last_of(refusal)}`",
    )


def test_one_entity_is_extracted_twice_before_a_load(
    world: World, make: Make, shows: Shows
) -> None:
    """As by a script of steps that is started again after its load failed."""
    world.pipeline.extract(make())
    world.pipeline.extract(make(entities=["journals"]))
    for _ in range(2):
        with pytest.raises(PipelineStepFailed, match="wait to be loaded") as refusal:
            world.pipeline.extract(make())
        world.pipeline.normalize()
    world.pipeline.load()
    world.assert_equal("accounts")
    world.box.delete(ACCOUNTS, world.division, world.keys(ACCOUNTS)[0])
    world.pipeline.extract(make())
    world.pipeline.normalize()
    world.pipeline.load()
    world.assert_equal("accounts")
    world.assert_equal("journals")
    shows(
        "`pipeline.extract(source)` twice before `pipeline.load()`",
        f"refused: `{last_of(refusal)}`",
    )


def test_two_entities_in_one_table(world: World, make: Make, shows: Shows) -> None:
    with world.watch() as calls, pytest.raises(PipelineStepFailed, match="one table") as refusal:
        world.pipeline.run(make(entities=["accounts", "journals"]), table_name="everything")
    assert not len(calls)
    world.pipeline.run(make(), table_name="everything")
    assert len(world.table("everything")) == rows_of(world)
    shows("`pipeline.run(source, table_name=...)` with two entities", refused(refusal))


def test_a_parallel_resource_is_read_as_before(world: World, make: Make, shows: Shows) -> None:
    source = make().parallelize()
    world.pipeline.run(source)
    world.assert_equal("accounts")
    shows("`parallelize()`", "works")


def test_dev_mode_begins_in_a_dataset_of_its_own(world: World, make: Make, shows: Shows) -> None:
    world.pipeline.run(make())
    again = dlt.pipeline(
        "exact_dev",
        destination=dlt.destinations.duckdb(str(world.folder / "exact.duckdb")),
        dataset_name=world.dataset,
        pipelines_dir=str(world.folder / "pipelines"),
        dev_mode=True,
    )
    again.run(make())
    assert again.dataset_name != world.dataset
    with again.sql_client() as client:
        (found,) = client.execute_sql("SELECT count(*) FROM accounts") or ()
    assert found[0] == rows_of(world)
    shows("`dev_mode`", "works, in a dataset of its own")


@pytest.mark.parametrize("refresh", ["drop_sources", "drop_resources", "drop_data"])
def test_a_refresh_loads_everything_again(
    world: World, make: Make, refresh: Any, shows: Shows
) -> None:
    world.pipeline.run(make())
    world.pipeline.run(make(), refresh=refresh)
    world.assert_equal("accounts")
    shows("`pipeline.run(source, refresh=...)`", "works")


def test_relations_of_the_dataset(world: World, make: Make, shows: Shows) -> None:
    world.pipeline.run(make())
    accounts = world.pipeline.dataset().accounts
    assert len(accounts.select("id", "name").arrow()) == rows_of(world)
    assert accounts.where(f"division = {world.division}").arrow().num_rows == len(
        world.box.rows(ACCOUNTS, world.division)
    )
    shows("`pipeline.dataset()`", "works: `select`, `where`, `arrow`")


@pytest.mark.nightly
def test_a_table_that_was_dropped_with_dlt_is_loaded_again(
    world: World, make: Make, shows: Shows
) -> None:
    world.pipeline.run(make(entities=["accounts", "journals"]))
    command(world, "drop", "accounts")
    assert "_exact_syncs" in {t["name"] for t in world.pipeline.default_schema.data_tables()}
    world.pipeline = world.new_pipeline()
    run_to_end(world.pipeline, make(entities=["accounts", "journals"]))
    world.assert_equal("accounts")
    assert len(world.table("journals")) == rows_of(world, JOURNALS)
    shows("`dlt pipeline ... drop`", "works; the table is read again")


@pytest.mark.nightly
def test_the_command_of_dlt_tells_of_the_pipeline_and_restores_it(
    world: World, make: Make, shows: Shows
) -> None:
    world.pipeline.run(make())
    assert "accounts" in command(world, "info")
    trace = command(world, "trace")
    assert all(
        f"Step {step} COMPLETED" in trace for step in ("extract", "normalize", "load", "run")
    )
    command(world, "sync")
    world.pipeline = world.new_pipeline()
    with world.watch() as calls:
        run_to_end(world.pipeline, make())
    assert not from_the_beginning(calls)
    shows("`dlt pipeline ... info`, `trace`, `sync`", "work")
