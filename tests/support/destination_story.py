"""Runs a sequence of steps on one destination in a separate process; prints their results as JSON.

    python -m tests.support.destination_story sqlite FOLDER

A step returns what it observed, in the words of the page; a step that loses a row or a cursor raises.
"""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
from dlt.load.load import Load

from exact_source.engine.cursors import TIMESTAMP_OVERLAP
from exact_source.loading.writer_claims import TABLE as CLAIMS
from exact_source.loading.writer_claims import _now as time_of
from exact_source.sync.runner import sync
from tests.support.world import Calls, World, make_box

ACCOUNTS, LINES, INVOICE_LINES = "accounts", "transaction_lines", "sales_invoice_lines"
ENTITIES = (ACCOUNTS, LINES, INVOICE_LINES)  # by sync with tombstones, by bulk, without a cursor
PATHS = {
    ACCOUNTS: "sync/CRM/Accounts",
    LINES: "bulk/Financial/TransactionLines",
    INVOICE_LINES: "bulk/SalesInvoice/SalesInvoiceLines",
}
AMOUNTS = ["0.01", "-0.005", "123456789012.34", "0.1", "0"]
YES, REFUSED = "yes", "refused before the first call"
EXPIRY_MIN = 5  # the notes count in steps of so many minutes


def destination(kind: str, folder: Path) -> Any:
    """A destination of this kind; environment variables name the servers."""
    files = str(folder / "lake")
    makers: dict[str, Callable[[], Any]] = {
        "duckdb": lambda: dlt.destinations.duckdb(str(folder / "exact.duckdb")),
        "postgres": lambda: dlt.destinations.postgres(os.environ["EXACT_TEST_POSTGRES"]),
        "bigquery": dlt.destinations.bigquery,
        "sqlite": lambda: dlt.destinations.sqlalchemy(f"sqlite:///{folder / 'exact.db'}"),
        "mysql": lambda: dlt.destinations.sqlalchemy(os.environ["EXACT_TEST_MYSQL"]),
        "ducklake": lambda: _ducklake(folder),
        "delta": lambda: dlt.destinations.filesystem(files),
        "iceberg": lambda: dlt.destinations.filesystem(files),
        "parquet": lambda: dlt.destinations.filesystem(files),
    }
    return makers[kind]()


def _ducklake(folder: Path) -> Any:
    from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials

    # For each client and each job dlt opens a database in memory and attaches the lake, ten to fourteen
    # times a sync. A catalog in DuckDB and one thread take a third less CPU than a catalog in SQLite.
    credentials = DuckLakeCredentials(
        "exact", catalog=f"duckdb:///{folder / 'catalog.duckdb'}", storage=str(folder / "files")
    )
    credentials.global_config = {"threads": 1}
    return dlt.destinations.ducklake(credentials)


class Story:
    """The steps in their order; each uses the destination as the previous one left it."""

    def __init__(self, kind: str, world: World) -> None:
        self.kind, self.world = kind, world
        self.renamed = ""
        self.client: Any = None
        self.options: dict[str, Any] = {}
        if kind in {"delta", "iceberg"}:
            self.options["table_format"] = kind
        if kind == "iceberg":
            self.options["deletes"] = "soft"
        if kind == "parquet":
            self.options["change_log"] = True
        self.killed_between_rounds = self.fork(self.die_between_rounds)
        self.killed_in_a_load = self.fork(self.die_in_a_load)

    def tell(self) -> dict[str, str]:
        """Run all steps; returns the result of each."""
        steps = (
            self.first, self.idle, self.change, self.delete, self.history, self.kill_round,
            self.kill_load, self.machine,
        )  # fmt: skip
        found = {step.__name__: step() for step in steps}
        return {**found, "money": self.money()}

    # -- steps -----------------------------------------------------------------------------------

    def first(self) -> str:
        for key, amount in zip(self.keys(LINES), AMOUNTS, strict=False):
            self.update(LINES, key, {"AmountDC": float(amount)})
        self.sync()
        return YES

    def idle(self) -> str:
        with self.going_on():
            outcome = self.sync()
        assert not [r for r in outcome.results if r.rows or r.deleted], outcome
        return YES

    def change(self) -> str:
        self.world.advance_versions(2 * TIMESTAMP_OVERLAP)
        self.renamed = self.keys(ACCOUNTS)[0]
        self.update(ACCOUNTS, self.renamed, {"Name": "Renamed"})
        self.update(LINES, self.keys(LINES)[-1], {"Description": "Changed"})
        new = {"ID": "00000000-0000-4000-8000-00000000abcd", "Name": "New"}
        self.world.box.insert(PATHS[ACCOUNTS], self.world.division, new)
        with self.going_on():
            self.sync()
        return YES

    def delete(self) -> str:
        gone = {entity: self.keys(entity)[-1] for entity in ENTITIES}
        for entity, key in gone.items():
            self.world.box.delete(PATHS[entity], self.world.division, key)
        self.sync()
        with self.world.pipeline.sql_client() as self.client:
            (found,) = {self.left_of(entity, key) for entity, key in gone.items()}
        return found

    def left_of(self, entity: str, key: Any) -> str:
        """What a table holds of a deleted row."""
        rows = [r for r in self.rows(entity) if str(r["id"]).lower() == str(key).lower()]
        if not rows:
            return YES
        marked = [row for row in rows if row["_deleted_at"] is not None]
        assert len(marked) == 1, rows
        return "marked in `_deleted_at`" if len(rows) == 1 else "a row with `_deleted_at` is added"

    def history(self) -> str:
        with self.world.watch() as calls:
            outcome = self.world.sync(*ENTITIES, **self.options, history=ACCOUNTS)
        if outcome.exit_code == 2 and not len(calls):
            return self.states_in_a_log() if "change_log" in self.options else REFUSED
        assert outcome.exit_code == 0, outcome
        key = self.renamed
        self.update(ACCOUNTS, key, {"Name": "Renamed again"})
        self.sync(history=ACCOUNTS)
        with self.world.pipeline.sql_client() as self.client:
            found = self.rows("accounts_history")
        states = [r for r in found if str(r["id"]).lower() == str(key).lower()]
        assert {"Renamed", "Renamed again"} <= {row["name"] for row in states}
        return YES

    def states_in_a_log(self) -> str:
        with self.world.pipeline.sql_client() as self.client:
            found = [r for r in self.rows(ACCOUNTS) if r["id"] == str(self.renamed).lower()]
        assert len({row["name"] for row in found}) == 2, found
        return "the log holds all states"

    def kill_round(self) -> str:
        """Kill the process between two rounds; the next sync continues."""
        return self.kill(self.killed_between_rounds)

    def kill_load(self) -> str:
        """Kill the process when its rows are stored, before the load is marked as complete."""
        return self.kill(self.killed_in_a_load)

    def kill(self, process: tuple[int, int]) -> str:
        for n, key in enumerate(self.keys(LINES)):
            self.update(LINES, key, {"Description": f"after {n} by {process[0]}"})
        self.client = None
        gc.collect()  # closes the file of DuckDB for the child
        child, wake = process
        with self.world.watch() as before:
            os.write(wake, str(self.world.clock.sandbox.now()).encode())
            _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), status
        self.world.clock.sandbox.advance(120)
        with self.going_on() as after:
            outcome = self.world.sync(*ENTITIES, **self.options)
            note = YES if outcome.exit_code == 0 else self.outlive_the_claim(outcome)
            self.sync()
        read = self.pages(before)
        assert read
        assert not read & self.pages(after)
        return note

    def pages(self, calls: Calls) -> set[str]:
        """The changed lines that were asked for, by the query of each page."""
        asked = calls.to(PATHS[LINES], self.world.division)
        return {str(sorted(call.query.items())) for call in asked if call.rows}

    def die_between_rounds(self) -> None:
        def die(number: int) -> None:
            if number == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        run = self.world.make_run(max_pages=1, **self.options)
        sync(self.world.pipeline, run, [LINES], on_round=die)

    def die_in_a_load(self) -> None:
        def die(*_: Any, **__: Any) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        Load.complete_package = die  # type: ignore[method-assign]
        sync(self.world.pipeline, self.world.make_run(**self.options), [LINES])

    def fork(self, until_it_dies: Callable[[], None]) -> tuple[int, int]:
        """A process that waits for the time, then syncs until it kills itself; its ID and what wakes it.

        It is forked before a load, because the threads of delta-rs and DuckDB do not survive a fork.
        """
        waits, wake = os.pipe()
        child = os.fork()
        if child:
            os.close(waits)
            return child, wake
        os.close(wake)
        now = os.read(waits, 100)
        if now:  # and not the end of a parent that failed
            self.world.clock.sandbox.set(float(now))
            self.world.pipeline = self.world.new_pipeline()
            until_it_dies()
        os._exit(0)

    def outlive_the_claim(self, outcome: Any) -> str:
        """The lock of a dead process holds until it expires by the clock of the database."""
        assert outcome.exit_code == 3, outcome
        with self.world.pipeline.sql_client() as client:
            name = client.make_qualified_table_name(CLAIMS)
            found: Any = client.execute_sql(f"SELECT max(expires_at) FROM {name}")
            left_s = float(found[0][0]) - time_of(client)
            client.execute_sql(f"UPDATE {name} SET expires_at = 0 WHERE expires_at > 0")
        minutes = math.ceil(left_s / 60 / EXPIRY_MIN) * EXPIRY_MIN
        return f"once its lock expires, within {minutes} minutes"

    def machine(self) -> str:
        """Another machine continues with the cursors in the destination."""
        self.world.pipeline = self.world.new_pipeline("another machine")
        with self.world.watch() as calls, self.going_on():
            outcome = self.sync()
        asked = calls.to(PATHS[ACCOUNTS], self.world.division)
        assert sum(call.rows for call in asked) < len(self.keys(ACCOUNTS))  # the overlap only
        assert not [r for r in outcome.results if r.rows or r.deleted], outcome
        return YES

    def money(self) -> str:
        with self.world.pipeline.sql_client() as self.client:
            found = [row["amount_dc"] for row in self.stored(LINES)]
        assert {Decimal(text) for text in AMOUNTS} <= {Decimal(str(value)) for value in found}
        exact = all(isinstance(value, Decimal) for value in found if value is not None)
        return YES if exact else f"as {type(found[0]).__name__}, not decimal"

    # -- means -----------------------------------------------------------------------------------

    @contextmanager
    def going_on(self) -> Iterator[Calls]:
        """No feed with a cursor is read from its beginning; the calls are complete after the block."""
        with self.world.watch() as calls:
            yield calls
        for path in (PATHS[ACCOUNTS], PATHS[LINES]):
            asked = [call.query.get("$filter", "all rows") for call in calls.to(path)]
            assert asked
            assert not [text for text in asked if text == "all rows" or "gt 1L" in text], asked

    def sync(self, **more: Any) -> Any:
        outcome = self.world.sync(*ENTITIES, **self.options, **more)
        assert outcome.exit_code == 0, outcome
        with self.world.pipeline.sql_client() as self.client:
            for entity in ENTITIES:
                self.compare(entity)
        return outcome

    def compare(self, entity: str) -> None:
        """Compare the rows of all companies, with a text and an amount of each."""
        field, column = {
            ACCOUNTS: ("Name", "name"),
            LINES: ("AmountDC", "amount_dc"),
            INVOICE_LINES: ("AmountDC", "amount_dc"),
        }[entity]
        wanted = {
            (division, str(row["ID"]).lower()): _plain(row[field])
            for division in self.world.box.divisions
            for row in self.world.box.rows(PATHS[entity], division)
        }
        rows = self.stored(entity)
        held = {(r["division"], str(r["id"]).lower()): _plain(r[column]) for r in rows}
        assert len(held) == len(rows), f"{entity}: a key is there twice"
        assert held == wanted, (
            entity,
            sorted(set(held.items()) ^ set(wanted.items()), key=str)[:6],
        )

    def stored(self, entity: str, *, states: bool = False) -> list[dict[str, Any]]:
        rows = self.rows(entity)
        if self.kind == "parquet" and not states:
            last: dict[Any, dict[str, Any]] = {}
            for row in sorted(rows, key=lambda row: str(row["_synced_at"])):
                last[row["division"], row["id"]] = row
            rows = list(last.values())
        return rows if states else [row for row in rows if row["_deleted_at"] is None]

    def rows(self, table: str) -> list[dict[str, Any]]:
        name = self.client.make_qualified_table_name(table)
        with self.client.execute_query(f"SELECT * FROM {name}") as cursor:
            names = cursor._get_columns()  # SQLAlchemy's has no description
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def keys(self, entity: str) -> list[Any]:
        return self.world.keys(PATHS[entity])

    def update(self, entity: str, key: Any, values: dict[str, Any]) -> None:
        self.world.box.update(PATHS[entity], self.world.division, key, values)


def _plain(value: Any) -> Any:
    is_number = isinstance(value, int | float | Decimal)
    return Decimal(repr(float(value))) if is_number else value


def main(kind: str, folder: Path) -> None:
    """Run the steps and print the results."""
    os.environ |= {"DLT_DATA_DIR": str(folder / ".dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    box = make_box()
    with box.serve() as url:
        world = World(box, url, folder, destination(kind, folder), f"exact_{os.getpid()}")
        found = Story(kind, world).tell()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
