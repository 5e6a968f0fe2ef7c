"""Events in companies and in their loaders, as a Hypothesis state machine.

Every few steps a sync runs without trouble: each stream that it reports as complete equals the company,
row for row and value for value. After the last trouble all streams do. No sync ever removes a row that
still exists, and none reads a reply that is too large.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from exact_source.client.retry import ATTEMPTS
from exact_source.engine.result import StreamResult
from exact_source.errors import EMPTY, ExactError
from exact_source.sandbox import Sandbox
from exact_source.sandbox.clock import wall_clock
from tests.support.bench import (
    SIZES,
    TWINS,
    Bench,
    Stopped,
    newer_version,
    shape_of,
    small_box,
)
from tests.support.world import MIDDAY

HOUR_S, DAY_S = 3600.0, 86_400.0
# Entity -> its path for writing, and a column to change. They cover sync, bulk and regular feeds, bulk and
# regular feeds together (auto), full reads, and entities with and without tombstones.
ENTITIES = {
    "accounts": ("crm/Accounts", "Name"),
    "transaction_lines": ("bulk/Financial/TransactionLines", "Notes"),
    "sales_invoice_lines": ("bulk/SalesInvoice/SalesInvoiceLines", "Notes"),
    "receivables": ("cashflow/Receivables", "Description"),
    "journals": ("financial/Journals", "Description"),
}
FEED_PATHS = [
    "sync/CRM/Accounts", "bulk/CRM/Accounts", "crm/Accounts",
    "bulk/Financial/TransactionLines", "financialtransaction/TransactionLines",
    "bulk/SalesInvoice/SalesInvoiceLines", "salesinvoice/SalesInvoiceLines",
    "bulk/Cashflow/Receivables", "cashflow/Receivables", "financial/Journals", "sync/Deleted",
]  # fmt: skip
ROUTES = ["auto", "sync", "bulk", "regular"]
FAULTS = [
    "408", "429", "500", "503", "599", "html", "empty", "drop", "truncate", "bom",
    "wrong-division", "foreign-next", "repeat-next", "empty-page", "duplicate-row", "400", "403",
]  # fmt: skip
RIGHTS = "users/UserHasRights"
SYNC_EVERY = 4  # steps
MOST_HOSTS = 3
# Syncs after a change until the number of rows is known exactly, also by the entry before the last.
SYNCS_TO_COUNT = 3
# Shortly before the clocks are changed, and a day far from it.
SEASONS = {
    "plain": MIDDAY,
    "march": datetime(2026, 3, 29, 0, 10, tzinfo=UTC),
    "october": datetime(2026, 10, 24, 23, 40, tzinfo=UTC),
}
# Seconds by which a host's clock is ahead.
AHEAD_S = [0.0, 0.0, 120.0, -120.0, HOUR_S, -HOUR_S, 5 * HOUR_S, DAY_S, -DAY_S]
# Events that must occur in a run of many sequences, counted by ``tally``.
CLASSES = (
    "skewed clock", "jumping clock", "two hosts", "second writer", "march", "october", "drop",
    "truncate", "restore", *TWINS, *SIZES, "killed", "stopped", "load fails", "load in part",
    "doubted rights", "newer state", "undated move", "hidden tombstones",
)  # fmt: skip

entities = st.sampled_from(sorted(ENTITIES))
companies = st.integers(0, 1)
places = st.integers(0, 30)
ends = st.sampled_from("0123456789abcdef")
Change = Callable[[], None]
Stream = tuple[str, int]


class Company(RuleBasedStateMachine):
    """One or two companies and their loaders.

    Attributes:
        tally: Counts of what the sequences did.
        only: Entity and route to read; ``None`` for a random choice.
        make_bench: Makes the loader.
    """

    tally: ClassVar[Counter[str]] = Counter()
    only: ClassVar[tuple[Sequence[str], str] | None] = None
    make_bench: Callable[[Sandbox], Bench] = Bench

    @initialize(
        order=st.sampled_from(["key", "Timestamp"]),
        sizes=st.tuples(st.integers(2, 4), st.integers(2, 6)),
        count=st.sampled_from([1, 1, 2]),
        chosen=st.sets(entities, min_size=1, max_size=3),
        route=st.sampled_from(ROUTES),
        busy=st.booleans(),
        season=st.sampled_from(["plain", "plain", *SEASONS]),
        ahead_s=st.sampled_from([0.0, 0.0, *AHEAD_S]),
    )
    def begin(
        self,
        order: str,
        sizes: tuple[int, int],
        count: int,
        chosen: set[str],
        route: str,
        busy: bool,
        season: str,
        ahead_s: float,
    ) -> None:
        self.box = small_box(
            {entity: path for entity, (path, _) in ENTITIES.items()},
            companies=count, sync_order=order, page_size=sizes[0], large_page_size=sizes[1],
            minute_limit=10_000, daily_limit=1_000_000,
        )  # fmt: skip
        self.box.clock.set(SEASONS[season])
        self.benches = [type(self).make_bench(self.box)]
        self.at = 0
        self.has_second_writer = False
        self.set_clock(ahead_s)
        self.tally[season] += 1
        names, self.route = self.only or (sorted(chosen), route)
        self.chosen = list(names)
        self.graves: dict[Stream, list[str]] = {}
        self.names = map(str, itertools.count())
        self.denied: set[Stream] = set()
        self.half_read: dict[object, set[Stream]] = {}  # by pipeline
        self.pending: list[Change] = []
        self.steps = 0
        if busy:
            self.be_busy(self.chosen[0], 0, "8")
        self.sync_well()

    @property
    def bench(self) -> Bench:
        """The host or writer whose turn it is."""
        return self.benches[self.at]

    def set_clock(self, ahead_s: float) -> None:
        self.bench.clock.ahead_s = ahead_s
        self.tally["skewed clock"] += bool(ahead_s)

    # -- state -------------------------------------------------------------------------------------

    def keys(self, entity: str, division: int) -> list[str]:
        store = self.box.state.store
        return [key[0] for key in store.table(division, entity).ordered("key")[0]]

    def mine(self, entity: str) -> str:
        """One of the loaded entities."""
        return (
            entity
            if entity in self.chosen
            else self.chosen[sorted(ENTITIES).index(entity) % len(self.chosen)]
        )

    def division(self, company: int) -> int:
        return self.box.divisions[company % len(self.box.divisions)]

    def pass_time(self, seconds: float = 0.01) -> None:
        self.box.clock.advance(seconds)

    def do(self, change: Change, later: bool) -> None:
        """Make a change now or during the next sync."""
        if later:
            self.pending.append(change)
        else:
            change()

    # -- what happens to a company -----------------------------------------------------------------

    @rule(entity=entities, company=companies, end=ends, later=st.booleans())
    def insert(self, entity: str, company: int, end: str, later: bool) -> None:
        name = next(self.names)
        key = f"{end * 8}-0000-4000-8000-{int(name):012x}"
        self.do(
            lambda: self._insert(self.mine(entity), self.division(company), key, {}, name), later
        )

    def _insert(
        self, entity: str, division: int, key: str, more: dict[str, Any], name: str
    ) -> None:
        path, column = ENTITIES[entity]
        if key in self.keys(entity, division):
            return
        # A line has a number and belongs to an entry, whose feed reports its deletion.
        line: dict[str, dict[str, Any]] = {
            "sales_invoice_lines": {"LineNumber": 1},
            "transaction_lines": {"EntryID": f"eeeeeeee{key[8:]}", "LineNumber": 1},
        }
        row = {"ID": key, column: name, **line.get(entity, {}), **more}
        self.box.insert(path, division, row)
        self.pass_time()

    @rule(entity=entities, company=companies, place=places, later=st.booleans())
    def update(self, entity: str, company: int, place: int, later: bool) -> None:
        name, entity = next(self.names), self.mine(entity)

        def change() -> None:
            division = self.division(company)
            if keys := self.keys(entity, division):
                path, column = ENTITIES[entity]
                self.box.update(path, division, keys[place % len(keys)], {column: name})
                self.pass_time()

        self.do(change, later)

    @rule(entity=entities, company=companies, place=places, later=st.booleans())
    def delete(self, entity: str, company: int, place: int, later: bool) -> None:
        self.do(lambda: self._delete(self.mine(entity), company, place), later)

    def _delete(self, entity: str, company: int, place: int) -> None:
        division = self.division(company)
        if keys := self.keys(entity, division):
            key = keys[place % len(keys)]
            self.box.delete(ENTITIES[entity][0], division, key)
            self.graves.setdefault((entity, division), []).append(key)
            self.pass_time()

    @rule(entity=entities, company=companies, place=places, later=st.booleans())
    def come_back(self, entity: str, company: int, place: int, later: bool) -> None:
        name, entity = next(self.names), self.mine(entity)

        def change() -> None:
            division = self.division(company)
            if graves := self.graves.get((entity, division)):
                self._insert(entity, division, graves[place % len(graves)], {}, name)

        self.do(change, later)

    @rule(
        entity=entities,
        company=companies,
        place=places,
        pause_s=st.sampled_from([0.01, 60.0, HOUR_S]),
    )
    def replace(self, entity: str, company: int, place: int, pause_s: float) -> None:
        """Delete a row and create it again with the same key."""
        entity = self.mine(entity)
        self._delete(entity, company, place)
        self.pass_time(pause_s)
        if graves := self.graves.get((entity, self.division(company))):
            self._insert(entity, self.division(company), graves[-1], {}, next(self.names))

    @rule(entity=entities, company=companies, back_s=st.integers(0, 6000))
    def tie(self, entity: str, company: int, back_s: int) -> None:
        """Write all rows again with the same ``Modified``, which may be in the past."""
        moment = wall_clock(self.box.clock.now()) - timedelta(seconds=back_s)
        self.box.touch(ENTITIES[self.mine(entity)][0], self.division(company), modified=moment)
        self.pass_time()

    @rule(entity=entities, company=companies, end=ends, back=st.integers(1, 6000))
    def commit_late(self, entity: str, company: int, end: str, back: int) -> None:
        """A row appears with the version and time of the start of its transaction."""
        division, name = self.division(company), next(self.names)
        store = self.box.state.store
        taken = {r["Timestamp"] for _, t in store.tables(division) for r in t.rows.values()}
        version = store.versions.get(division, store._common).last - back % 4000
        if version in taken:
            return
        moment = wall_clock(self.box.clock.now()) - timedelta(seconds=back)
        key = f"{end * 8}-0000-4000-9000-{int(name):012x}"
        more = {"Timestamp": version, "Modified": moment}
        self._insert(self.mine(entity), division, key, more, name)
        self.update(entity, company, 0, False)  # so that the next read does not come back empty

    @rule(company=companies, entity=entities)
    def empty(self, company: int, entity: str) -> None:
        entity = self.mine(entity)
        for key in self.keys(entity, self.division(company)):
            self.box.delete(ENTITIES[entity][0], self.division(company), key)
        self.pass_time()

    def _others_write(self, by: int) -> None:
        store = self.box.state.store
        for versions in (store._common, *store.versions.values()):
            versions.last += by

    @rule(by=st.sampled_from([100, 6000, 1_000_000]), later=st.booleans())
    def others_write(self, by: int, later: bool) -> None:
        self.do(lambda: self._others_write(by), later)

    @rule(entity=entities, company=companies, end=ends)
    def be_busy(self, entity: str, company: int, end: str) -> None:
        """Change many rows while pages are read: before, at and after the current position."""
        entity = self.mine(entity)
        self.tie(entity, company, 0)
        for start in ("0", end, "f"):
            key = f"{start * 8}-0000-4000-a000-{int(next(self.names)):012x}"
            self.pending.append(partial(self._write_much, entity, self.division(company), key))

    def _write_much(self, entity: str, division: int, key: str) -> None:
        self._insert(entity, division, key, {}, "busy")
        self._others_write(6000)
        self.pass_time(3 * HOUR_S)

    @rule(entity=entities, company=companies, place=places)
    def clear_out(self, entity: str, company: int, place: int) -> None:
        """Delete rows, and more of them while the list of tombstones is read."""
        entity = self.mine(entity)
        for _ in range(4):
            self._delete(entity, company, place)
        for _ in range(3):
            self.pending.append(lambda: self._delete(entity, company, place))
            self.others_write(6000, True)

    @rule(company=companies)
    def move(self, company: int) -> None:
        self.box.move_division(self.division(company))
        self.pass_time(5)

    @rule(company=companies)
    def move_undated(self, company: int) -> None:
        """Move a company as a restored backup does, without a ``DivisionMoveDate``."""
        self.box.state.store.move(self.division(company))
        self.tally["undated move"] += 1
        self.pass_time(5)

    @rule(seconds=st.sampled_from([1.0, 300.0, HOUR_S, 5 * HOUR_S, DAY_S]))
    def wait(self, seconds: float) -> None:
        self.pass_time(seconds)

    @rule(entity=entities, company=companies, place=places)
    def be_idle(self, entity: str, company: int, place: int) -> None:
        """Delete a row, and do not sync until Exact has removed the tombstone."""
        self._delete(self.mine(entity), company, place)
        self.pass_time(70 * DAY_S)
        for division in self.box.divisions:
            self.box.state.store.forget_old_tombstones(division)

    # -- what happens to those who read it ---------------------------------------------------------

    # While Exact does not say who has which rights, two empty lists are believed, so none may be false.
    @rule(
        company=companies, path=st.sampled_from(FEED_PATHS), how=st.sampled_from(["403", "empty"])
    )
    @precondition(lambda self: not self.are_rights_unknown)
    def deny(self, company: int, path: str, how: str) -> None:
        self.box.deny(self.division(company), path, how)
        self.denied.add((path, self.division(company)))

    @rule(
        entity=entities,
        company=companies,
        place=places,
        moves=st.booleans(),
        days=st.sampled_from([1, 25]),
    )
    @precondition(lambda self: not self.denied and not self.are_rights_unknown)
    def hide_tombstones(
        self, entity: str, company: int, place: int, moves: bool, days: int
    ) -> None:
        """Delete rows while their tombstones are not listed, possibly until these have expired."""
        entity, division = self.mine(entity), self.division(company)
        self.replace(entity, company, place, 60.0)
        self.deny(company, "sync/Deleted", "empty")
        if moves:
            self.move_undated(company)
        self._delete(entity, company, place)
        for _ in range(3):
            self.sync_well()
            self.pass_time(days * DAY_S)
            self.box.state.store.forget_old_tombstones(division)
        self.box.allow(division, "sync/Deleted")
        self.denied.discard(("sync/Deleted", division))
        self.tally["hidden tombstones"] += 1
        self.sync_well()

    @rule()
    @precondition(lambda self: self.denied)
    def allow(self) -> None:
        for division in self.box.divisions:
            self.box.allow(division)
        self.denied.clear()

    @rule(entity=entities, company=companies, answers=st.integers(1, 3))
    @precondition(lambda self: not self.denied)
    def doubt_rights(self, entity: str, company: int, answers: int) -> None:
        """Delete all rows while Exact does not say whether the user may read them."""
        self.box.fault("500", times=answers * ATTEMPTS, path=RIGHTS)
        self.empty(company, entity)

    @property
    def are_rights_unknown(self) -> bool:
        return any(fault.path == RIGHTS and fault.times for fault in self.box.state.faults.rules)

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

    @rule(
        kind=st.sampled_from([*TWINS, *TWINS, *SIZES]),
        times=st.integers(1, 3),
        entity=entities,
        company=companies,
        place=places,
        between=st.booleans(),
    )
    def trouble(
        self, kind: str, times: int, entity: str, company: int, place: int, between: bool
    ) -> None:
        """Replies show rows in two states, or are too large."""
        for _ in range(2):
            self.update(entity, company, place, False)
            if between:
                self.sync_well()
        for bench in self.benches:
            bench.wire.trouble = [kind] * times

    @rule(ahead_s=st.sampled_from(AHEAD_S))
    def jump(self, ahead_s: float) -> None:
        """Set the clock of a host."""
        self.tally["jumping clock"] += self.bench.clock.ahead_s != ahead_s
        self.set_clock(ahead_s)

    @rule(ahead_s=st.sampled_from(AHEAD_S), second_writer=st.booleans())
    @precondition(lambda self: len(self.benches) < MOST_HOSTS)
    def join(self, ahead_s: float, second_writer: bool) -> None:
        """Add a host with the same pipeline, or another pipeline into the same tables."""
        make = self.bench.writer if second_writer else self.bench.host
        self.benches.append(make(ahead_s))
        self.has_second_writer |= second_writer
        self.take_turns(len(self.benches) - 1)
        self.set_clock(ahead_s)
        self.tally["second writer" if second_writer else "two hosts"] += 1

    @rule(place=places)
    @precondition(lambda self: len(self.benches) > 1)
    def take_turns(self, place: int) -> None:
        self.at = place % len(self.benches)

    @rule(entity=entities, how=st.sampled_from(["drop", "truncate", "back_up", "restore"]))
    def lose(self, entity: str, how: str) -> None:
        """Drop, empty or restore a table outside of the syncs."""
        entity = self.mine(entity)
        left = self.bench.backed_up(entity) if how == "restore" else Counter[int]()
        if how == "back_up" or (left is not None and self.is_loss(entity, left)):
            getattr(self.bench, how)(entity)
            self.tally[how] += 1

    @rule(entity=entities, end=ends)
    def go_back(self, entity: str, end: str) -> None:
        """Restore a table from a backup that lacks some rows."""
        entity = self.mine(entity)
        self.lose(entity, "back_up")
        for company in range(len(self.box.divisions)):
            self.insert(entity, company, end, False)
        for _ in range(SYNCS_TO_COUNT):
            self.sync_well()
        self.lose(entity, "restore")

    def is_loss(self, entity: str, left: Counter[int]) -> bool:
        """Whether all loaders can notice lost rows by the row count."""
        for bench, division in itertools.product(self.benches, self.box.divisions):
            expected, held = bench.bounds(entity, division), len(self.bench.keys(entity, division))
            if expected is None or not held:
                return False
            if expected[0] <= left[division] <= expected[1]:
                return False
        return True

    @rule(step=st.integers(1, 30), pages=st.sampled_from([None, 1, 2]))
    def be_killed(self, step: int, pages: int | None) -> None:
        """Kill the process at a step of a sync."""
        names = self.chosen
        self.tally["killed"] += self.bench.kill(
            names, step, route=self.route, max_pages=pages, reconcile_days=7
        )
        self.note_half_read()
        self.pass_time(60)

    @rule()
    def be_upgraded(self) -> None:
        """A newer version syncs once; the syncs that follow keep what they do not know."""
        with newer_version():
            self.sync_well()

    @rule(route=st.sampled_from(ROUTES))
    def switch(self, route: str) -> None:
        """Change the route. Two pipelines keep theirs: rows would lose columns of the other's feed."""
        if self.only is None and not self.has_second_writer:
            self.route = route

    # -- loads ------------------------------------------------------------------------------------

    @rule(
        only=st.sampled_from([None, None, *sorted(ENTITIES)]),
        pages=st.sampled_from([None, 1, 2, 5]),
        rounds=st.sampled_from([1, 2, 200, 200]),
        fails=st.lists(st.sampled_from(["arrives", "arrives", "fails", "in part"]), max_size=3),
        raises=st.sampled_from([None, None, 1, 5, 10, 20, 40]),
        every=st.integers(1, 6),
        deletes=st.sampled_from(["hard", "hard", "hard", "soft", "ignore"]),
    )
    def sync_badly(
        self,
        only: str | None,
        pages: int | None,
        rounds: int,
        fails: list[str],
        raises: int | None,
        every: int,
        deletes: str,
    ) -> None:
        """A sync that stops, does not arrive, or sees the company change meanwhile."""
        names = [only] if only in self.chosen else self.chosen
        self.sync(
            names, raises=raises, every=every, rounds=rounds, loads=self.counted(fails),
            max_pages=pages, deletes=self.may_keep(deletes),
        )  # fmt: skip

    def counted(self, fails: Sequence[str]) -> Iterator[str]:
        """Count the fate of each load."""
        for how in fails:
            self.tally[f"load {how}"] += 1
            yield how

    def may_keep(self, deletes: str) -> str:
        """How deletions are applied: one way where two pipelines share the tables."""
        return "hard" if self.has_second_writer else deletes

    @rule(entity=entities, company=companies, place=places)
    def break_off(self, entity: str, company: int, place: int) -> None:
        """A sync stops between its pages, and a row changes that it may have passed."""
        self.tie(entity, company, 0)
        self.sync(self.chosen, every=1, rounds=1, max_pages=1)
        self.update(entity, company, place, False)

    @rule(entity=entities, company=companies, place=places)
    def soften(self, entity: str, company: int, place: int) -> None:
        """Delete a row in a sync that only marks deleted rows."""
        self._delete(self.mine(entity), company, place)
        self.sync(self.chosen, every=1, deletes=self.may_keep("soft"))

    @rule(entity=entities, company=companies, place=places)
    def look_away(self, entity: str, company: int, place: int) -> None:
        """Delete a row and create it again while deletions are not read."""
        self.replace(entity, company, place, 60.0)
        self.sync(self.chosen, every=1, deletes=self.may_keep("ignore"))

    @rule(entity=entities, company=companies, place=places)
    def repeat_an_hour(self, entity: str, company: int, place: int) -> None:
        """Create a deleted row again in the repeated hour of October, with a time before its deletion."""
        entity, division = self.mine(entity), self.division(company)
        self._delete(entity, company, place)
        ended = {(r.entity, r.division): r.status for r in self.sync_well()}
        graves = self.graves.get((entity, division))
        if graves and ended.get((entity, division)) == "complete":
            before = wall_clock(self.box.clock.now()) - timedelta(seconds=HOUR_S)
            name = next(self.names)
            self._insert(entity, division, graves[-1], {"Modified": before}, name)

    @invariant()
    def sync_now_and_then(self) -> None:
        self.steps += 1
        if self.steps % SYNC_EVERY == 0:
            self.sync_well()

    def sync_well(self) -> list[StreamResult]:
        days = 0 if self.steps % (2 * SYNC_EVERY) == 0 else 7
        return self.sync(self.chosen, every=1 + self.steps % 4, reconcile_days=days)

    def sync(
        self, names: Sequence[str], *, every: int, raises: int | None = None, **options: Any
    ) -> list[StreamResult]:
        steps, changed = itertools.count(1), False
        lives, held, newer = self.living(names), self.held(names), self.bench.newer()

        def during() -> None:
            nonlocal changed
            step = next(steps)
            if step == raises:
                raise Stopped
            if self.pending and step % every == 0:
                self.pending.pop(0)()
                changed = True

        results = self.results(names, during, options)
        self.tally["syncs"] += 1
        assert newer <= self.bench.newer(), "a field of a newer version was lost"
        self.tally["newer state"] += bool(newer)
        self.tally["doubted rights"] += sum(r.code == EMPTY for r in results)
        if not changed:
            now_held, settled = self.held(names), self.settled(results)
            lost = {s: (held[s] & lives[s]) - now_held[s] - late for s, late in settled.items()}
            assert not any(lost.values()), f"rows that live were removed: {lost}"
            if options.get("deletes", "hard") == "hard":
                self.compare_complete(results, reconciled=options.get("reconcile_days") == 0)
        self.note_half_read()
        self.pass_time(60)
        return results

    def note_half_read(self) -> None:
        """Hosts continue where another host of the pipeline stopped; a writer has its own position."""
        self.half_read[self.bench.owner] = self.bench.half_read()

    def results(
        self, names: Sequence[str], during: Change, options: Mapping[str, Any]
    ) -> list[StreamResult]:
        """The result of each stream; empty if the sync was stopped."""
        try:
            return self.bench.sync(names, during=during, route=self.route, **options)
        except Stopped:
            self.tally["stopped"] += 1
        except BaseExceptionGroup as group:
            if group.split(Stopped)[1]:
                raise
            self.tally["stopped"] += 1
        except ExactError:
            pass  # the list of divisions could not be read
        return []

    def living(self, names: Collection[str]) -> dict[Stream, set[tuple[Any, ...]]]:
        """Keys of the rows that a sync may not remove."""
        return {
            (e, d): {(d, key) for key in self.keys(e, d) if key not in self.unseen(e, d)}
            for e in names
            for d in self.box.divisions
        }

    def settled(self, results: Sequence[StreamResult]) -> dict[Stream, set[tuple[Any, ...]]]:
        """Streams that may have removed no living row, and the keys of exceptions.

        A refused stream may have applied the deletion of a row that was created again and is not read yet.
        """
        found: dict[Stream, set[tuple[Any, ...]]] = {}
        for r in results:
            if r.status in {"complete", "refused"}:
                again = self.graves.get((r.entity, r.division), ()) if r.status == "refused" else ()
                found[r.entity, r.division] = {(r.division, key) for key in again}
        return found

    def unseen(self, entity: str, division: int) -> Collection[str]:
        """Recreated rows of a partly denied entity: Exact may report the deletion but not the new row."""
        if not any((feed, division) in self.denied for feed in FEED_PATHS):
            return ()
        return self.graves.get((entity, division), ())

    def held(self, names: Collection[str]) -> dict[Stream, set[tuple[Any, ...]]]:
        return {(e, d): self.bench.keys(e, d) for e in names for d in self.box.divisions}

    def compare_complete(self, results: Sequence[StreamResult], *, reconciled: bool) -> None:
        """Assert that streams reported as complete equal the company."""
        for result in results:
            if result.status != "complete":
                continue
            self.tally["complete"] += 1
            plan = shape_of(result.entity, self.route).plan
            stream = result.entity, result.division
            denied = any((feed, result.division) in self.denied for feed in FEED_PATHS)
            # A list without a cursor shows the state at the start of its read. Without tombstones there
            # may be too many rows until keys are compared.
            half_read = self.half_read.get(self.bench.owner, set())
            unsure = stream in half_read if plan.column is None else not (
                reconciled or result.entity in {"accounts", "transaction_lines"}
            )  # fmt: skip
            if not denied and not unsure:
                self.bench.assert_equal(result.entity, self.route, [result.division])
                self.tally["compared"] += 1

    def teardown(self) -> None:
        if not hasattr(self, "steps"):
            return
        for change in self.pending:
            change()
        self.pending.clear()
        self.box.state.faults.clear()
        for bench in self.benches:
            self.tally.update(bench.wire.did)
            bench.wire.trouble.clear()
            assert not bench.wire.unlimited, "replies that were too large were read"
        for division in self.box.divisions:
            self.box.allow(division)
            self.box.block_division(division, 0)
        self.pass_time(2 * HOUR_S)
        half_read = self.half_read.get(self.bench.owner, set())
        if any(shape_of(e, self.route).plan.column is None for e, _ in half_read):
            self.bench.sync(self.chosen, route=self.route, retry_refused=True)
            self.pass_time(60)
        results = self.bench.sync(
            self.chosen, route=self.route, reconcile_days=0, retry_refused=True
        )
        assert {r.status for r in results} == {"complete"}, results
        for entity in self.chosen:
            self.bench.assert_equal(entity, self.route, self.box.divisions)
        self.tally["ends"] += 1
