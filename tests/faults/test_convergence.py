"""Whatever happens to a company and to those who load it: a sync that ends well holds the truth.

A sequence of changes, faults, stopped and failed loads is made up by hypothesis, which prints a
failing one as a script. The core runs against the sandbox without sockets and without dlt; a few
sequences with dlt and DuckDB, and with processes that are killed, are in ``test_convergence_dlt.py``.
EXACT_CONVERGENCE_SEQUENCES sets how many sequences there are.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from exact_source.errors import ExactError
from exact_source.sandbox.clock import wall_clock
from tests.bench import Bench, Stopped
from tests.world import make_box

SEQUENCES = int(os.environ.get("EXACT_CONVERGENCE_SEQUENCES", "100"))
HOUR_S, DAY_S = 3600.0, 86_400.0
# Entity -> where it is written, and a column to change.
ENTITIES = {
    "accounts": ("crm/Accounts", "Name"),
    "transaction_lines": ("bulk/Financial/TransactionLines", "Notes"),
    "sales_invoice_lines": ("bulk/SalesInvoice/SalesInvoiceLines", "Notes"),
    "journals": ("financial/Journals", "Description"),
}
FEED_PATHS = {
    "accounts": ("sync/CRM/Accounts", "bulk/CRM/Accounts", "crm/Accounts"),
    "transaction_lines": (
        "bulk/Financial/TransactionLines",
        "financialtransaction/TransactionLines",
    ),
    "sales_invoice_lines": (
        "bulk/SalesInvoice/SalesInvoiceLines",
        "salesinvoice/SalesInvoiceLines",
    ),
    "journals": ("financial/Journals",),
}
ROUTES = ["sync", "bulk", "regular"]
FAULTS = [
    "408", "429", "500", "503", "599", "html", "empty", "drop", "truncate", "bom",
    "wrong-division", "foreign-next", "repeat-next", "empty-page", "duplicate-row", "400", "403",
]  # fmt: skip

entities = st.sampled_from(sorted(ENTITIES))
companies = st.integers(0, 1)
places = st.integers(0, 30)
ends = st.sampled_from("0123456789abcdef")


class Company(RuleBasedStateMachine):
    """Two companies and somebody who loads them."""

    @initialize(
        order=st.sampled_from(["key", "Timestamp"]),
        sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
        chosen=st.sets(entities, min_size=1),
        route=st.sampled_from(ROUTES),
    )
    def begin(self, order: str, sizes: tuple[int, int], chosen: set[str], route: str) -> None:
        self.box = make_box(
            invoices=1, sync_order=order, page_size=sizes[0], large_page_size=sizes[1],
            minute_limit=10_000, daily_limit=1_000_000,
        )  # fmt: skip
        self.bench = Bench(self.box)
        self.chosen = sorted(chosen)
        self.route = route
        self.graves: dict[tuple[str, int], list[str]] = {}
        self.names = map(str, itertools.count())
        self.denied = False
        self.half_read: set[str] = set()
        self.pending: list[Callable[[], None]] = []
        self.thin_out()

    def thin_out(self) -> None:
        """Few rows, so that a sequence is quick."""
        for entity, (path, _) in ENTITIES.items():
            for division in self.box.divisions:
                for key in self.keys(entity, division)[6:]:
                    self.box.delete(path, division, key)
        store = self.box.state.store
        for division in self.box.divisions:
            store.table(division, "deleted").rows.clear()
            store.table(division, "deleted")._sorted.clear()

    def keys(self, entity: str, division: int) -> list[str]:
        store = self.box.state.store
        return [key[0] for key in store.table(division, entity).ordered("key")[0]]

    def division(self, company: int) -> int:
        return self.box.divisions[company]

    def pass_time(self, seconds: float = 0.01) -> None:
        self.box.clock.advance(seconds)

    # -- what happens to a company -----------------------------------------------------------------

    @rule(entity=entities, company=companies, end=ends, later=st.booleans())
    def insert(self, entity: str, company: int, end: str, later: bool) -> None:
        name = next(self.names)
        key = f"{end * 8}-0000-4000-8000-{int(name):012x}"
        self.do(lambda: self._insert(entity, self.division(company), key, {}, name), later)

    def _insert(
        self, entity: str, division: int, key: str, more: dict[str, Any], name: str
    ) -> None:
        path, column = ENTITIES[entity]
        if key in self.keys(entity, division):
            return
        # A line has a number and belongs to an entry, whose feed tells of its end.
        line: dict[str, dict[str, Any]] = {
            "sales_invoice_lines": {"LineNumber": 1},
            "transaction_lines": {"EntryID": f"eeeeeeee{key[8:]}", "LineNumber": 1},
        }
        row = {"ID": key, column: name, **line.get(entity, {}), **more}
        self.box.insert(path, division, row)
        self.pass_time()

    @rule(entity=entities, company=companies, place=places, later=st.booleans())
    def update(self, entity: str, company: int, place: int, later: bool) -> None:
        name = next(self.names)

        def change() -> None:
            division = self.division(company)
            if keys := self.keys(entity, division):
                path, column = ENTITIES[entity]
                self.box.update(path, division, keys[place % len(keys)], {column: name})
                self.pass_time()

        self.do(change, later)

    @rule(entity=entities, company=companies, place=places, later=st.booleans())
    def delete(self, entity: str, company: int, place: int, later: bool) -> None:
        def change() -> None:
            division = self.division(company)
            if keys := self.keys(entity, division):
                key = keys[place % len(keys)]
                self.box.delete(ENTITIES[entity][0], division, key)
                self.graves.setdefault((entity, company), []).append(key)
                self.pass_time()

        self.do(change, later)

    @rule(entity=entities, company=companies, place=places, later=st.booleans())
    def come_back(self, entity: str, company: int, place: int, later: bool) -> None:
        name = next(self.names)

        def change() -> None:
            if graves := self.graves.get((entity, company)):
                self._insert(entity, self.division(company), graves[place % len(graves)], {}, name)

        self.do(change, later)

    @rule(entity=entities, company=companies, back_s=st.integers(0, 6000))
    def tie(self, entity: str, company: int, back_s: int) -> None:
        """All rows are written again, with one ``Modified``, which may be a while ago."""
        moment = wall_clock(self.box.clock.now()) - timedelta(seconds=back_s)
        self.box.touch(ENTITIES[entity][0], self.division(company), modified=moment)
        self.pass_time()

    @rule(entity=entities, company=companies, end=ends, back=st.integers(1, 6000))
    def commit_late(self, entity: str, company: int, end: str, back: int) -> None:
        """A row appears whose version and time are those of when its transaction began."""
        division, name = self.division(company), next(self.names)
        store = self.box.state.store
        taken = {r["Timestamp"] for _, t in store.tables(division) for r in t.rows.values()}
        version = store.versions.get(division, store._common).last - back % 4000
        if version in taken:
            return
        moment = wall_clock(self.box.clock.now()) - timedelta(seconds=back)
        key = f"{end * 8}-0000-4000-9000-{int(name):012x}"
        self._insert(entity, division, key, {"Timestamp": version, "Modified": moment}, name)

    @rule(company=companies, entity=entities)
    def empty(self, company: int, entity: str) -> None:
        for key in self.keys(entity, self.division(company)):
            self.box.delete(ENTITIES[entity][0], self.division(company), key)
        self.pass_time()

    @rule(by=st.sampled_from([100, 6000, 1_000_000]), later=st.booleans())
    def others_write(self, by: int, later: bool) -> None:
        self.do(lambda: self._others_write(by), later)

    def _others_write(self, by: int) -> None:
        store = self.box.state.store
        for versions in (store._common, *store.versions.values()):
            versions.last += by

    @rule(entity=entities, company=companies, end=ends)
    def be_busy(self, entity: str, company: int, end: str) -> None:
        """While pages are read: much happens, behind the reading, long before and in front of it."""
        for name in ("0", end, "f"):
            self.insert(entity, company, name, True)
            self.others_write(6000, True)
            self.pending.append(lambda: self.pass_time(3 * HOUR_S))

    @rule(company=companies)
    def move(self, company: int) -> None:
        self.box.move_division(self.division(company))
        self.pass_time(5)

    @rule(seconds=st.sampled_from([1.0, 300.0, HOUR_S, 5 * HOUR_S, DAY_S, 70 * DAY_S]))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)
        for division in self.box.divisions:
            self.box.state.store.forget_old_tombstones(division)

    # -- what happens to those who read it ---------------------------------------------------------

    @rule(
        company=companies,
        paths=st.sampled_from([*sum(FEED_PATHS.values(), ()), "sync/Deleted"]),
        how=st.sampled_from(["403", "empty"]),
    )
    def deny(self, company: int, paths: str, how: str) -> None:
        if paths == "sync/Deleted" and how == "empty":
            return  # nothing tells it from a company where nothing was deleted
        self.box.deny(self.division(company), paths, how)
        self.denied = True

    @rule()
    @precondition(lambda self: self.denied)
    def allow(self) -> None:
        for division in self.box.divisions:
            self.box.allow(division)
        self.denied = False

    @rule(company=companies, status=st.sampled_from([0, 0, 1]))
    def block(self, company: int, status: int) -> None:
        self.box.block_division(self.division(company), status)
        self.pass_time()

    @rule(
        kind=st.sampled_from(FAULTS),
        times=st.integers(1, 3),
        after=st.integers(0, 6),
        company=companies,
    )
    def fault(self, kind: str, times: int, after: int, company: int) -> None:
        self.box.fault(kind, times=times, after=after, division=self.division(company))

    @rule(route=st.sampled_from(ROUTES))
    def switch(self, route: str) -> None:
        self.route = route

    # -- loads ------------------------------------------------------------------------------------

    def do(self, change: Callable[[], None], later: bool) -> None:
        """Change now, or in the middle of the next sync."""
        if later:
            self.pending.append(change)
        else:
            change()

    @rule(
        only=st.sampled_from([None, *sorted(ENTITIES)]),
        pages=st.sampled_from([None, None, 1, 2, 5]),
        rounds=st.sampled_from([1, 2, 200, 200, 200]),
        fails=st.lists(st.sampled_from(["arrives", "arrives", "fails", "in part"]), max_size=4),
        raises=st.sampled_from([None, None, None, 1, 3, 6, 10, 20]),
        every=st.integers(1, 6),
        deletes=st.sampled_from(["hard", "hard", "hard", "soft", "ignore"]),
        reconcile_days=st.sampled_from([0, 7]),
    )
    def sync(
        self,
        only: str | None,
        pages: int | None,
        rounds: int,
        fails: list[str],
        raises: int | None,
        every: int,
        deletes: str,
        reconcile_days: int,
    ) -> None:
        steps = itertools.count(1)
        changed = False

        def during() -> None:
            nonlocal changed
            step = next(steps)
            if step == raises:
                raise Stopped
            if self.pending and step % every == 0:
                self.pending.pop(0)()
                changed = True

        names = [only] if only in self.chosen else self.chosen
        try:
            results = self.bench.sync(
                names, rounds=rounds, during=during, loads=iter(fails),
                round_pages=pages, route=self.route, deletes=deletes, reconcile_days=reconcile_days,
            )  # fmt: skip
        except BaseExceptionGroup as group:
            if group.split(Stopped)[1]:
                raise
            results = []
        except ExactError:
            results = []  # the list of divisions was not to be had
        complete = bool(results) and {r.status for r in results} == {"complete"}
        if complete and not changed and not self.denied and deletes == "hard":
            unsure = self.unsure(reconciled=reconcile_days == 0)
            self.compare([e for e in names if e not in unsure])
        self.half_read = {entity for (entity, _), c in self.bench.ledger.cursors.items() if c.scan}
        self.pass_time(60)

    def unsure(self, *, reconciled: bool) -> set[str]:
        """What a complete sync may hold too much of."""
        unsure = self.half_read & {"sales_invoice_lines"}
        # Nothing tells of deletions of the other until keys are compared.
        return unsure if reconciled else unsure | {"journals"}

    def teardown(self) -> None:
        if not hasattr(self, "box"):
            return
        for change in self.pending:
            change()
        self.box.state.faults.clear()
        for division in self.box.divisions:
            self.box.allow(division)
            self.box.block_division(division, 0)
        self.pass_time(2 * HOUR_S)
        if (
            "sales_invoice_lines" in self.half_read
        ):  # a list without a cursor holds what was true when its reading began
            self.bench.sync(self.chosen, route=self.route)
            self.pass_time(60)
        results = self.bench.sync(self.chosen, route=self.route, reconcile_days=0)
        assert {r.status for r in results} == {"complete"}, results
        self.compare(self.chosen)

    def compare(self, names: list[str]) -> None:
        for entity in names:
            kinds = ROUTES[-len(FEED_PATHS[entity]) :]
            self.bench.assert_equal(entity, by=self.route if self.route in kinds else kinds[0])


Company.TestCase.settings = settings(
    max_examples=SEQUENCES,
    stateful_step_count=25,
    deadline=None,
    derandomize="EXACT_CONVERGENCE_SEQUENCES" not in os.environ,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    report_multiple_bugs=False,
)
TestConvergence = Company.TestCase
