"""Runs a sequence of steps on one destination in a separate process; prints their results as JSON.

    python -m tests.support.destination_story sqlite FOLDER

A step that works returns ``yes`` or a note for users; a step that fails raises.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt

from exact_source.sync.runner import sync
from tests.support.world import World, make_box

ACCOUNTS, LINES, INVOICE_LINES = "accounts", "transaction_lines", "sales_invoice_lines"
ENTITIES = (ACCOUNTS, LINES, INVOICE_LINES)  # by sync with tombstones, by bulk, without a cursor
PATHS = {
    ACCOUNTS: "sync/CRM/Accounts",
    LINES: "bulk/Financial/TransactionLines",
    INVOICE_LINES: "bulk/SalesInvoice/SalesInvoiceLines",
}
AMOUNTS = ["0.01", "-0.005", "123456789012.34", "0.1", "0"]
YES, NO = "yes", "no"
CLAIMED = {"mysql", "bigquery"}  # locked by a row that expires


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
        self.child = self.fork()

    def tell(self) -> dict[str, str]:
        """Run all steps; returns the result of each."""
        steps = (
            self.first, self.idle, self.change, self.delete, self.history, self.kill, self.machine,
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
        outcome = self.sync()
        assert not [r for r in outcome.results if r.rows or r.deleted], outcome
        return YES

    def change(self) -> str:
        self.renamed = self.keys(ACCOUNTS)[0]
        self.update(ACCOUNTS, self.renamed, {"Name": "Renamed"})
        new = {"ID": "00000000-0000-4000-8000-00000000abcd", "Name": "New"}
        self.world.box.insert(PATHS[ACCOUNTS], self.world.division, new)
        self.sync()
        return YES

    def delete(self) -> str:
        for entity in ENTITIES:
            self.world.box.delete(PATHS[entity], self.world.division, self.keys(entity)[-1])
        self.sync()
        return "marked in `_deleted_at`" if self.kind == "iceberg" else YES

    def history(self) -> str:
        if self.kind in {"delta", "iceberg"}:
            return NO
        if self.kind == "parquet":
            with self.world.pipeline.sql_client() as self.client:
                found = self.stored(ACCOUNTS, states=True)
                assert len(found) > len(self.stored(ACCOUNTS))
            assert "Renamed" in {row["name"] for row in found}
            return "the log holds all states"
        self.sync(history=ACCOUNTS)
        key = self.renamed
        self.update(ACCOUNTS, key, {"Name": "Renamed again"})
        self.sync(history=ACCOUNTS)
        with self.world.pipeline.sql_client() as self.client:
            found = self.rows("accounts_history")
        states = [r for r in found if str(r["id"]).lower() == str(key).lower()]
        assert {"Renamed", "Renamed again"} <= {row["name"] for row in states}
        return YES

    def kill(self) -> str:
        """Kill the process between two rounds; the next sync continues."""
        for n, key in enumerate(self.keys(LINES)):
            self.update(LINES, key, {"Description": f"after {n}"})
        self.client = None
        gc.collect()  # closes the file of DuckDB for the child
        child, wake = self.child
        os.write(wake, str(self.world.clock.sandbox.now()).encode())
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), status
        self.world.clock.sandbox.advance(120)
        if self.kind in CLAIMED:
            self.outlive_the_claim()
        self.sync()
        return "once its lock expires, after 5 minutes" if self.kind in CLAIMED else YES

    def fork(self) -> tuple[int, int]:
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

            def die(number: int) -> None:
                if number == 3:
                    os.kill(os.getpid(), signal.SIGKILL)

            run = self.world.make_run(round_pages=1, **self.options)
            sync(self.world.pipeline, run, [LINES], on_round=die)
        os._exit(0)

    def outlive_the_claim(self) -> None:
        """The lock of a dead process holds until it expires by the clock of the database."""
        assert self.world.sync(*ENTITIES, **self.options).exit_code == 3
        with self.world.pipeline.sql_client() as client:
            name = client.make_qualified_table_name("_exact_writers")
            client.execute_sql(f"UPDATE {name} SET expires_at = 0 WHERE expires_at > 0")

    def machine(self) -> str:
        """Another machine continues with the cursors in the destination."""
        self.world.pipeline = self.world.new_pipeline("another machine")
        with self.world.watch() as calls:
            outcome = self.sync()
        assert not [r for r in outcome.results if r.rows or r.deleted], outcome
        assert not [c for c in calls.to(PATHS[ACCOUNTS]) if "gt 1L" in c.query.get("$filter", "")]
        return YES

    def money(self) -> str:
        with self.world.pipeline.sql_client() as self.client:
            found = [row["amount_dc"] for row in self.stored(LINES)]
        assert {Decimal(text) for text in AMOUNTS} <= {Decimal(str(value)) for value in found}
        exact = all(isinstance(value, Decimal) for value in found if value is not None)
        return YES if exact else f"as {type(found[0]).__name__}, not decimal"

    # -- means -----------------------------------------------------------------------------------

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
