"""Random histories of companies and their loaders, against the second Exact Online.

A seed determines a history. The history keeps a script of its steps for the report of a failure.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from exact_source.engine.result import StreamResult
from exact_source.errors import ExactError
from tests.support.bench import Ledger, Stopped, shape_of
from tests.support.independent.bench import HOSTILE_BYTES, IndependentBench
from tests.support.independent.clocks import HostClock
from tests.support.independent.company import Company
from tests.support.independent.faults import LINE_FAULTS, PAGE_FAULTS, REFUSALS, STATUS_FAULTS
from tests.support.independent_server import IndependentServer, Rules

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
# Entity -> tables that it shows, and a column to change.
ENTITIES: dict[str, tuple[tuple[str, ...], str]] = {
    "accounts": (("accounts",), "Name"),
    "gl_accounts": (("gl_accounts",), "Description"),
    "transaction_lines": (("transaction_lines",), "Notes"),
    "sync_transaction_lines": (("transaction_lines",), "Notes"),
    "units": (("units",), "Description"),
    "vat_codes": (("vat_codes",), "Description"),
    "journals": (("journals",), "Description"),
    "sales_invoices": (("sales_invoices",), "Description"),
    "sales_invoice_lines": (("sales_invoice_lines",), "Notes"),
    "sync_sales_invoices": (("sales_invoices", "sales_invoice_lines"), "Description"),
}
COLUMNS = {tables[0]: column for tables, column in ENTITIES.values()}
WITH_TOMBSTONES = {
    "accounts", "gl_accounts", "transaction_lines", "sync_transaction_lines", "sync_sales_invoices",
}  # fmt: skip
FEEDS_TO_DENY = [
    "sync/CRM/Accounts", "bulk/CRM/Accounts", "crm/Accounts", "bulk/Financial/TransactionLines",
    "logistics/Units", "vat/VATCodes", "financial/Journals", "bulk/SalesInvoice/SalesInvoiceLines",
    "sync/Deleted",
]  # fmt: skip
ROUTES = ["auto", "auto", "sync", "bulk", "regular"]
SEASONS = {
    "june": datetime(2026, 6, 10, 9, 0, tzinfo=UTC),
    "october": datetime(2026, 10, 24, 23, 40, tzinfo=UTC),
    "march": datetime(2026, 3, 29, 0, 10, tzinfo=UTC),
}
TWINS = ("old-then-new", "new-then-old")
# Classes of events beyond the plain rules. Classes that are known to diverge are excluded.
CLASSES = (
    "clock back", "clock ahead", "clock behind", "two hosts", "second writer", "dropped table",
    "unequal twins", "unequal twins in sync", "recreated in a step", "hostile size",
)  # fmt: skip
CHANCE = 0.3  # that a history has a class
CHANCES = {"hostile size": 0.03}  # takes longer than the others


class History:
    """One or two companies, the hosts that load them, and the script of what happened.

    Args:
        seed: Determines every choice.
        known: Classes to leave out.
        only: Classes to include. Default: chosen by the seed.
    """

    def __init__(
        self, seed: int, *, known: Collection[str] = (), only: Collection[str] | None = None
    ) -> None:
        self.rng = random.Random(seed)
        drawn = {c for c in CLASSES if self.rng.random() < CHANCES.get(c, CHANCE)}
        self.classes = (drawn if only is None else set(only)) - set(known)
        self.tally: Counter[str] = Counter()
        self.script: list[str] = []
        self.names = map(str, itertools.count())
        self.pending: list[Callable[[], None]] = []
        self.graves: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self.half_read: dict[int, set[tuple[str, int]]] = {}  # by cursor store
        self.used_up = False
        self._found(seed)

    # -- state -------------------------------------------------------------------------------------

    def _found(self, seed: int) -> None:
        rng = self.rng
        season = rng.choice(["june", "june", "october", "march"])
        rules = Rules(
            page=rng.randint(2, 4), large_page=rng.randint(2, 6),
            sync_by_key=rng.random() < 0.3, bare_top=rng.random() < 0.5,
            filter_mandatory=rng.random() < 0.3, rights_as_row=rng.random() < 0.5,
        )  # fmt: skip
        divisions = [1001, 1002][: rng.choice([1, 1, 2])]
        self.server = IndependentServer(divisions, start=SEASONS[season], rules=rules)
        self.server.limits.per_minute = rng.choice([30, 60, 10_000])
        self.server.limits.per_day = 1_000_000
        self.server.faults.random = random.Random(seed)
        self.chosen = sorted(rng.sample(sorted(ENTITIES), rng.randint(1, 3)))
        self.route = rng.choice(ROUTES)
        self.deletes = rng.choice(["hard", "hard", "hard", "soft"])
        self.note(f"begin {season} {rules} {divisions} {self.chosen} {self.route} {self.deletes}")
        self.note(f"classes {sorted(self.classes)}")
        self._make_hosts()

    def begin(self) -> None:
        """Some rows, and a first sync."""
        for company in self.server.companies.values():
            for entity in self.chosen:
                for _ in range(6):
                    self._insert(company, self.table_of(entity))
        self.sync_well()

    def _make_hosts(self) -> None:
        error_s = 0.0
        if "clock ahead" in self.classes:
            error_s = self.rng.choice([300.0, 3 * HOUR_S, 5 * HOUR_S, DAY_S])
            self.tally["clock ahead"] += 1
        elif "clock behind" in self.classes:
            error_s = -self.rng.choice([300.0, 3 * HOUR_S, DAY_S])
            self.tally["clock behind"] += 1
        ledger = Ledger()
        self.benches = [self._bench(error_s, ledger)]
        if "two hosts" in self.classes:
            self.benches.append(self._bench(error_s + self.rng.choice([-120.0, 120.0]), ledger))
            self.tally["two hosts"] += 1
        if "second writer" in self.classes:
            self.benches.append(self._bench(error_s, ledger.shared()))
            self.tally["second writer"] += 1

    def _bench(self, ahead: float, ledger: Ledger) -> IndependentBench:
        self.note(f"host {ahead:+.0f} s")
        return IndependentBench(self.server, HostClock(self.server.clock, ahead), ledger)

    def note(self, text: str) -> None:
        self.script.append(
            f"{datetime.fromtimestamp(self.server.clock.now(), UTC):%d %H:%M:%S} {text}"
        )

    def company(self) -> Company:
        return self.rng.choice(list(self.server.companies.values()))

    def table_of(self, entity: str) -> str:
        return self.rng.choice(ENTITIES[entity][0])

    def table(self) -> str:
        return self.table_of(self.rng.choice(self.chosen))

    def key(self, company: Company, table: str) -> str | None:
        return self.rng.choice(sorted(company.tables[table]) or [None])

    def pass_time(self, seconds: float) -> None:
        if seconds > 20 * MINUTE_S:
            self.commit_all()  # no transaction takes longer
        self.server.clock.advance(seconds)

    def commit_all(self) -> None:
        for company in self.server.companies.values():
            company.commit_all()

    def do(self, change: Callable[[], None]) -> None:
        """Make a change now or during a later sync."""
        if self.rng.random() < 0.4:
            self.pending.append(change)
        else:
            change()

    # -- what happens to a company -----------------------------------------------------------------

    def insert(self) -> None:
        company, table = self.company(), self.table()
        self.do(lambda: self._insert(company, table))

    def _insert(self, company: Company, table: str, **more: Any) -> None:
        self._write_new(company, table, company.insert, more)

    def _write_new(
        self, company: Company, table: str, insert: Callable[..., str], more: dict[str, Any]
    ) -> None:
        name = next(self.names)
        values: dict[str, Any] = {COLUMNS[table]: name, **more}
        if table in {"transaction_lines", "sales_invoice_lines"}:
            values.setdefault("LineNumber", self.rng.choice([1, 2, 1, 2, 0, 9999]))
            values.setdefault("AmountDC", int(name) / 4)
        if table == "sales_invoice_lines" and "InvoiceID" not in values:
            invoice = self.key(company, "sales_invoices")
            values["InvoiceID"] = invoice or company.insert("sales_invoices", Description=name)
        key = insert(table, **values)
        self.note(f"{company.code} insert {table} {key[:8]} {name}")
        self.server.clock.advance(0.01)

    def update(self) -> None:
        company, table = self.company(), self.table()
        self.do(lambda: self._update(company, table))

    def _update(self, company: Company, table: str) -> None:
        key, name = self.key(company, table), next(self.names)
        if key is not None:
            company.update(table, key, **{COLUMNS[table]: name})
            self.note(f"{company.code} update {table} {key[:8]} {name}")
            self.server.clock.advance(0.01)

    def delete(self) -> None:
        company, table = self.company(), self.table()
        self.do(lambda: self._delete(company, table))

    def _delete(self, company: Company, table: str) -> None:
        company.commit_all()
        key = self.key(company, table)
        if key is not None:
            self.graves.setdefault((table, company.code), []).append(
                company.tables[table][key].values
            )
            company.delete(table, key)
            self.note(f"{company.code} delete {table} {key[:8]}")
            self.server.clock.advance(0.01)

    def come_back(self) -> None:
        """Create a deleted row again with the same key."""
        company, table = self.company(), self.table()

        def change() -> None:
            graves = self.graves.get((table, company.code))
            if graves:
                self._insert(company, table, **graves.pop())

        self.do(change)

    def empty(self) -> None:
        company, table = self.company(), self.table()
        for _ in range(len(company.tables[table])):
            self._delete(company, table)

    def tie(self) -> None:
        """Change all rows within one step of the clock."""
        company, table = self.company(), self.table()
        for key in sorted(company.tables[table]):
            company.update(table, key, **{COLUMNS[table]: next(self.names)})
        self.note(f"{company.code} tie {table}")
        self.server.clock.advance(0.01)

    def recreate(self) -> None:
        """Delete a row and create it again, within one step of the clock if that class is included."""
        company, table = self.company(), self.table()

        def change() -> None:
            company.commit_all()
            key = self.key(company, table)
            if key is None:
                return
            if "recreated in a step" not in self.classes:
                self._delete(company, table)
                self.server.clock.advance(self.rng.choice([0.02, 60.0]))
                self._insert(company, table, **self.graves[table, company.code].pop())
                return
            company.recreate(table, key, **{COLUMNS[table]: next(self.names)})
            self.note(f"{company.code} recreate {table} {key[:8]} in a step")
            self.tally["recreated in a step"] += 1
            self.server.clock.advance(0.01)

        self.do(change)

    def write_late(self) -> None:
        """Write a row now that becomes visible later."""
        company, table = self.company(), self.table()
        writing = company.transaction()
        self._write_new(company, table, writing.insert, {})
        self.note(f"{company.code} ... not committed yet")
        if self.rng.random() < 0.5:
            self.pending.append(writing.commit)

    def commit_late(self) -> None:
        self.note("commit all")
        self.commit_all()

    def others_write(self) -> None:
        company = self.company()
        by = self.rng.choice([100, 3000] if company.open else [100, 6000, 1_000_000])
        self.do(lambda: self._others_write(company, by))

    def _others_write(self, company: Company, by: int) -> None:
        by = min(by, 3000) if any(c.open for c in self.server.companies.values()) else by
        company.database.version += by

    def move(self) -> None:
        company = self.company()
        start = self.rng.choice([1, 1_000_000, 2**31, 2**53 + 1])
        company.move(start, keep_deleted=self.rng.random() < 0.5)
        self.note(f"{company.code} moves to {start}")
        self.server.clock.advance(5)

    def wait(self) -> None:
        seconds = self.rng.choice([1.0, 300.0, 900.0, HOUR_S, 5 * HOUR_S, DAY_S])
        self.pass_time(seconds)
        self.note(f"after {seconds} s")

    def idle(self) -> None:
        """Delete a row, and do not sync until Exact has removed the tombstone."""
        self._delete(self.company(), self.table())
        self.pass_time(70 * DAY_S)
        self.note("after 70 days")

    # -- what happens to those who read ------------------------------------------------------------

    def deny(self) -> None:
        company, path = self.company(), self.rng.choice(FEEDS_TO_DENY)
        how = self.rng.choice(["403", "empty"])
        company.deny(path, how)
        self.note(f"{company.code} denies {path}: {how}")

    def allow(self) -> None:
        self.note("all rights, no blocking")
        for company in self.server.companies.values():
            company.denied.clear()
            company.blocking_status = 0

    def block(self) -> None:
        company = self.company()
        company.block(self.rng.choice([0, 1]))
        self.note(f"{company.code} has blocking status {company.blocking_status}")

    def fault(self) -> None:
        page_faults = [kind for kind in PAGE_FAULTS if kind not in TWINS]
        kinds = [*LINE_FAULTS, *STATUS_FAULTS, *REFUSALS, *page_faults]
        kind, times = self.rng.choice(kinds), self.rng.randint(1, 3)
        on = self.rng.choice(["", "", "sync/", "Deleted", "Accounts", "Divisions", "bulk/"])
        self.server.faults.add(kind, on, times)
        self.note(f"fault {kind} on {on!r} {times} times")

    def be_flaky(self) -> None:
        self.server.faults.rate = self.rng.choice([0.1, 0.3])
        self.server.faults.kinds = [*LINE_FAULTS, *STATUS_FAULTS[4:8]]
        self.note(f"flaky {self.server.faults.rate}")

    def use_up(self) -> None:
        company = self.company()
        self.server.limits.use_up_minute(company.code)
        self.used_up = True
        self.note(f"{company.code} has no call left in this minute")

    def switch(self) -> None:
        if "second writer" in self.classes:
            return  # with a second route, rows would lose columns that only the first route's feed has
        self.route = self.rng.choice(ROUTES)
        self.note(f"route {self.route}")

    # -- classes -----------------------------------------------------------------------------------

    def twins(self) -> None:
        """Rows change, and the next pages of feeds with ``Modified`` show them in both states."""
        self._twins(
            ["bulk/", "crm/", "financial/", "financialtransaction/", "vat/", "salesinvoice/"]
        )

    def twins_in_sync(self) -> None:
        self._twins(["sync/"])

    def _twins(self, feeds: Sequence[str]) -> None:
        company, table = self.company(), self.table()
        for _ in range(3):
            self._update(company, table)
        if self.rng.random() < 0.5:
            self.sync_well()
        kind, times = self.rng.choice(TWINS), self.rng.randint(1, 3)
        for feed in feeds:
            self.server.faults.add(kind, feed, times)
        self.note(f"fault {kind} on {feeds} {times} times")

    def jump(self) -> None:
        bench = self.rng.choice(self.benches)
        ahead = self.rng.choice([0.0, 120.0, -120.0, HOUR_S, -HOUR_S])
        self.tally["clock back"] += ahead < bench.clock.ahead  # type: ignore[attr-defined]
        bench.clock.ahead = ahead  # type: ignore[attr-defined]
        self.note(f"host jumps to {bench.clock.ahead:+.0f} s")  # type: ignore[attr-defined]

    def drop_table(self) -> None:
        entity = self.rng.choice(self.chosen)
        for bench in self.benches:
            bench.ledger.drop(entity)
        self.note(f"drop table {entity}")
        self.tally["dropped table"] += 1

    def be_hostile(self) -> None:
        kind = self.rng.choice(["huge", "bomb"])
        self.server.faults.add(kind, size=HOSTILE_BYTES)
        self.note(f"fault {kind}")

    # -- syncs -------------------------------------------------------------------------------------

    def sync_badly(self) -> None:
        """A sync that stops, does not arrive, or sees the company change meanwhile."""
        rng = self.rng
        loads = [
            rng.choice(["arrives", "arrives", "fails", "in part"]) for _ in range(rng.randint(0, 3))
        ]
        self.sync(
            rng.choice(self.benches), raises=rng.choice([None, None, 1, 5, 10, 20, 40]),
            rounds=rng.choice([1, 2, 200, 200]), loads=iter(loads),
            max_pages=rng.choice([None, 1, 2, 5]),
        )  # fmt: skip

    def sync_well(self) -> list[StreamResult]:
        days = self.rng.choice([0, 7])
        return self.sync(self.rng.choice(self.benches), reconcile_days=days)

    def sync(
        self, bench: IndependentBench, *, raises: int | None = None, **options: Any
    ) -> list[StreamResult]:
        every, changed = self.rng.randint(1, 4), False
        steps = itertools.count(1)

        def during() -> None:
            nonlocal changed
            step = next(steps)
            if step == raises:
                raise Stopped
            if self.pending and step % every == 0:
                self.pending.pop(0)()
                changed = True

        shown = {n: v for n, v in options.items() if n != "loads"} | {"raises": raises}
        self.note(f"sync by host {self.benches.index(bench)} {shown}")
        results = self._results(bench, during, options)
        self.server.faults.rate = 0.0
        self.note(f"  {[(r.entity, r.division, r.status, r.code) for r in results]}")
        self.tally["syncs"] += 1
        if not changed:
            self._compare(bench, results, reconciled=options.get("reconcile_days") == 0)
        self.half_read[id(bench.ledger)] = bench.half_read()
        self.pass_time(60)
        return results

    def _results(
        self, bench: IndependentBench, during: Callable[[], None], options: dict[str, Any]
    ) -> list[StreamResult]:
        """The result of each stream; empty if the sync was stopped."""
        try:
            return bench.sync(
                self.chosen, during=during, route=self.route, deletes=self.deletes, **options
            )
        except (Stopped, ExactError) as stopped:
            self.note(f"  {type(stopped).__name__}: {stopped}")
        except BaseExceptionGroup as group:
            if group.split((Stopped, ExactError))[1]:
                raise
        return []

    def _compare(
        self, bench: IndependentBench, results: Sequence[StreamResult], *, reconciled: bool
    ) -> None:
        """Assert that streams reported as complete equal the company, as far as a sync can know."""
        for result in results:
            if result.status != "complete":
                continue
            self.tally["complete"] += 1
            plan = shape_of(result.entity, self.route).plan
            stream = result.entity, result.division
            denied = self.server.companies[result.division].denied
            # A list without a cursor shows the state at the start of its read. Without tombstones there
            # may be too many rows until keys are compared.
            unsure = stream in self.half_read.get(id(bench.ledger), ()) if plan.column is None else not (
                reconciled or result.entity in WITH_TOMBSTONES
            )  # fmt: skip
            if not denied and not unsure:
                bench.assert_equal(result.entity, self.route, [result.division])
                self.tally["compared"] += 1

    # -- the whole ---------------------------------------------------------------------------------

    def run(self, steps: int = 18) -> None:
        """Random steps, followed by an end without faults.

        Raises:
            AssertionError: If the tables differ from the companies although a sync ended well.
        """
        self.begin()
        rules = self._rules()
        for number in range(steps):
            self.rng.choice(rules)()
            if number % 3 == 2:
                self.sync_well()
        self.end()

    def _rules(self) -> list[Callable[[], object]]:
        plain = [
            self.insert, self.insert, self.update, self.update, self.update, self.delete,
            self.delete, self.come_back, self.empty, self.tie, self.recreate, self.write_late,
            self.write_late, self.commit_late, self.others_write, self.move, self.wait, self.wait,
            self.idle, self.deny, self.allow, self.block, self.fault, self.fault, self.be_flaky,
            self.use_up, self.switch, self.sync_badly, self.sync_badly, self.sync_badly,
        ]  # fmt: skip
        more: dict[str, list[Callable[[], object]]] = {
            "clock back": [self.jump] * 4, "dropped table": [self.drop_table] * 2,
            "unequal twins": [self.twins] * 4,
            "unequal twins in sync": [self.twins_in_sync] * 4, "recreated in a step": [self.recreate] * 4,
            "hostile size": [self.be_hostile],
        }  # fmt: skip
        return plain + [rule for name in sorted(self.classes) for rule in more.get(name, [])]

    def end(self) -> None:
        """End the faults: after at most two syncs everything is equal, although clocks stay wrong."""
        for change in self.pending:
            change()
        self.pending.clear()
        self.commit_all()
        self.server.faults.queue.clear()
        self.server.faults.rate = 0.0
        self.allow()
        self.note("end")
        self.server.clock.advance(2 * HOUR_S)
        bench = self.rng.choice(self.benches)
        if any(shape_of(e, self.route).plan.column is None for e, _ in bench.half_read()):
            self.sync(bench, retry_refused=True)
        results = self.sync(bench, reconcile_days=0, retry_refused=True)
        assert {r.status for r in results} == {"complete"}, results
        for entity in self.chosen:
            bench.assert_equal(entity, self.route, self.server.companies)
        assert not any(bench.wire.unlimited for bench in self.benches), (
            "too large replies were read"
        )
        self._check_limits()
        self._count_faults()
        self.tally["ends"] += 1

    def _count_faults(self) -> None:
        for call in self.server.calls:
            if call.fault in {"huge", "bomb"}:
                self.tally["hostile size"] += 1
            elif call.fault in TWINS:
                where = " in sync" if call.path.startswith("sync/") else ""
                self.tally[f"unequal twins{where}"] += 1

    def _check_limits(self) -> None:
        """Without other users of the limit no call exceeds it, however wrong the host's clock is."""
        over = [call for call in self.server.calls if call.status == 429 and not call.fault]
        assert not over or self.used_up or self.server.limits.blocked_until, over[0]
