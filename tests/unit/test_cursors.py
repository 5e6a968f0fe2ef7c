"""No row is lost, whatever changes between the pages: scans of a live table, simulated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exact_source.engine import cursors
from exact_source.engine.cursors import Cursor, PageFacts, Scan
from tests.support.tiers import examples

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp()
FOLD = datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()  # Dutch clocks go back from 3 to 2 o'clock
HOUR_S = 3600


@dataclass
class Table:
    """A live table of Exact: ``Timestamp`` or ``Modified`` as version, pages in one of two orders."""

    column: str
    in_version_order: bool = False
    page_size: int = 2
    now: float = NOW
    summer_until: float = 0.0
    last: int = 100_000
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)  # key -> version, content
    writes: int = 0

    def digits(self, at: float) -> int:
        """Milliseconds of the Dutch wall clock, in steps of 1/300 s."""
        offset_s = 7200 if at < self.summer_until else 3600
        return int((at + offset_s) * 300) * 1000 // 300

    def write(self, key: int, *, late: int = 0) -> None:
        """Insert or change a row; ``late``: versions or seconds ago that its transaction began."""
        self.writes += 1
        self.last += 3
        if self.column == "Modified":
            version = self.digits(self.now - late)
        else:  # writes to one row wait for each other, so that only a new one can be late
            version = self.last - (0 if key in self.rows else late)
        self.rows[key] = version, self.writes

    def passes(self, version: int, since: int) -> bool:
        """``Timestamp gt``, ``Modified ge`` without its milliseconds."""
        return version > since if self.column == "Timestamp" else version >= since // 1000 * 1000

    def page(self, since: int | None, after: Any) -> tuple[list[tuple[int, int, int]], Any]:
        """Rows behind ``after`` that pass the filter, and the token of the next page."""
        ordered = sorted(
            (version, key, content) if self.in_version_order else (key, version, content)
            for key, (version, content) in self.rows.items()
        )
        found = []
        for first, second, content in ordered:
            key, version = (second, first) if self.in_version_order else (first, second)
            if since is not None and not self.passes(version, since):
                continue
            if after is None or (first, second) > after:
                found.append(((first, second), (key, version, content)))
        rows = [row for _, row in found[: self.page_size]]
        token = found[self.page_size - 1][0] if len(found) >= self.page_size else None
        return rows, token


@dataclass
class Reader:
    """Reads a table page by page and keeps what it was given."""

    table: Table
    cursor: Cursor
    held: dict[int, tuple[int, int]] = field(default_factory=dict)
    token: Any = None
    loaded: int = 0

    @property
    def is_busy(self) -> bool:
        return bool(self.cursor.scan)

    def read_page(self) -> None:
        """One page; a scan is begun if none is under way."""
        # Other entities may have told how high versions are by now.
        known = self.table.last if self.table.page_size % 2 else None
        if self.cursor.scan is None:
            since = cursors.next_since(self.cursor)
            if self.table.column == "Modified":
                known = int(self.table.now * 1000)
            self.cursor = cursors.begin(self.cursor, now=self.table.now, since=since, known=known)
            self.token = None
        scan = self.cursor.scan
        assert scan is not None
        rows, token = self.table.page(scan.since, self.token)
        marks = {cursors.fingerprint((k, content), v): v for k, v, content in rows}
        high = max((v for _, v, _ in rows), default=None)
        floor = cursors.interesting_floor(self.cursor, high)
        worth = {m: v for m, v in marks.items() if floor is not None and v >= floor}
        before = self.cursor
        # Through dlt's state and back, as between two rounds.
        self.cursor = Cursor.from_state(
            cursors.advance(
                before,
                PageFacts(
                    rows=len(rows), high=high, fingerprints=worth,
                    next=None if token is None else str(token),
                ),
            ).to_state()
        )  # fmt: skip
        self.token = token
        for (key, version, content), mark in zip(rows, marks, strict=True):
            if scan.since is not None and mark in before.overlap_marks:
                continue
            self.loaded += 1
            if self.table.column == "Modified" or self.held.get(key, (0, 0))[0] <= version:
                self.held[key] = version, content

    def finish(self) -> None:
        """Read until a scan that began now has ended."""
        for _ in range(2):  # what is under way, then a scan from now
            self.read_page()
            while self.is_busy:
                self.read_page()


keys = st.integers(0, 9)
# key, how late, seconds until the next step, pages read then
steps = st.lists(
    st.tuples(keys, st.sampled_from([0, 0, 0, 1, 40, 1500]), st.sampled_from([0, 0, 1, 600, 9000, 90_000]),
              st.integers(0, 3)),
    max_size=40,
)  # fmt: skip


def run(table: Table, plan: list[tuple[int, int, int, int]]) -> Reader:
    reader = Reader(table, Cursor(column=table.column))
    for key, late, wait_s, pages in plan:
        table.write(key, late=late)
        for _ in range(pages):
            reader.read_page()
        table.now += wait_s
        table.last += wait_s  # other tables are written too
    reader.finish()
    return reader


# Page by page while days pass; a row behind the reading changes, later one in front of it.
BEHIND = [
    (0, 0, 0, 0),
    (5, 0, 0, 0),
    (9, 0, 0, 1),
    (0, 0, 9000, 0),
    (9, 0, 9000, 1),
    (1, 0, 9000, 2),
]


# A row that commits late, behind a chain in version order that waits at its end.
LATE = [(0, 0, 0, 1), (1, 40, 9000, 0), (0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("column", "in_version_order"), [("Timestamp", True), ("Timestamp", False), ("Modified", False)]
)
@given(plan=steps, page_size=st.integers(1, 4))
@example(plan=BEHIND, page_size=1)
@example(plan=BEHIND, page_size=2)
@example(plan=LATE, page_size=1)
@examples(300)
def test_no_change_between_pages_is_lost(
    column: str, in_version_order: bool, plan: list[tuple[int, int, int, int]], page_size: int
) -> None:
    table = Table(column, in_version_order, page_size)
    assert run(table, plan).held == table.rows


@given(
    plan=st.lists(
        st.tuples(keys, st.sampled_from([0, 0, 60, 1700]), st.sampled_from([0, 60, 600, 1800]),
                  st.integers(0, 3)),
        max_size=40,
    ),
    before_s=st.integers(0, 3 * HOUR_S),
)  # fmt: skip
@example(plan=[(0, 0, 600, 1), (1, 0, 0, 1)], before_s=300)
@examples(300)
def test_the_hour_that_comes_twice_in_october_loses_no_row(
    plan: list[tuple[int, int, int, int]], before_s: int
) -> None:
    table = Table("Modified", now=FOLD - before_s, summer_until=FOLD)
    assert run(table, plan).held == table.rows


@pytest.mark.parametrize("column", ["Timestamp", "Modified"])
@given(
    first=st.lists(keys, max_size=12), changed=st.sets(keys), wait_s=st.sampled_from([1, 90_000])
)
def test_a_quiet_table_loads_only_what_changed(
    column: str, first: list[int], changed: set[int], wait_s: int
) -> None:
    table = Table(column, page_size=50)
    for key in first:
        table.write(key)
    reader = Reader(table, Cursor(column=column))
    reader.finish()
    table.now += wait_s
    before = reader.loaded
    reader.finish()
    assert reader.loaded == before
    for key in changed:
        table.write(key)
    reader.finish()
    assert reader.loaded - before == len(changed)


def scanned(cursor: Cursor, *pages: PageFacts, now: float = NOW) -> Cursor:
    cursor = cursors.begin(cursor, now=now, since=cursors.next_since(cursor))
    for page in pages:
        cursor = cursors.advance(cursor, page)
    return cursor


def facts(high: int | None, *, last: bool = True) -> PageFacts:
    return PageFacts(
        rows=0 if high is None else 1, high=high, fingerprints={}, next=None if last else "n",
    )  # fmt: skip


def test_the_cursor_stands_still_until_the_chain_has_been_read_to_its_end() -> None:
    start = scanned(Cursor(column="Timestamp"), facts(100_000))
    half = scanned(start, facts(200_000, last=False))
    assert (half.value, half.scan is not None) == (100_000, True)
    assert scanned(start, facts(200_000, last=False), facts(None)).value == 200_000


def test_pages_in_key_order_move_the_cursor_to_what_the_first_one_proved() -> None:
    done = scanned(Cursor(column="Timestamp"), facts(50_000, last=False), facts(90_000))
    assert done.value == 50_000


def test_an_empty_read_moves_nothing_back() -> None:
    start = scanned(Cursor(column="Timestamp"), facts(100_000))
    assert scanned(start, facts(None)).value == 100_000


@given(st.integers(10_000, 10**12), st.sampled_from(["Timestamp", "Modified"]))
def test_a_read_begins_below_the_cursor(value: int, column: str) -> None:
    cursor = scanned(Cursor(column=column), facts(value), now=0.0)
    since = cursors.next_since(cursor)
    assert since is not None
    assert since < value
    assert since >= 0


def test_a_cursor_is_settled_once_nothing_can_appear_below_it() -> None:
    digits = int((NOW + HOUR_S) * 1000)  # winter: an hour ahead of UTC
    for hours, settled in ((0, False), (2, False), (2.9, False), (3.1, True), (24, True)):
        cursor = scanned(Cursor(column="Modified"), facts(digits), now=NOW + hours * HOUR_S)
        assert cursors.is_settled(cursor, 0.0) is settled
        assert (cursors.next_since(cursor) == digits) is settled
    assert not cursors.is_settled(cursor, 24 * HOUR_S)


def test_a_modified_in_the_future_does_not_hide_the_present() -> None:
    ahead = int((NOW + timedelta(days=900).total_seconds()) * 1000)
    cursor = scanned(Cursor(column="Modified"), facts(ahead))
    since = cursors.next_since(cursor)
    assert since is not None
    assert since <= int((NOW + HOUR_S) * 1000)


cursor_values = st.builds(
    Cursor,
    column=st.sampled_from([None, "Timestamp", "Modified"]),
    feed=st.sampled_from(["", "sync", "regular"]),
    value=st.none() | st.integers(0, 10**13),
    read_at=st.floats(0, 2e9),
    moved=st.integers(0, 10**12),
    overlap_marks=st.lists(st.text("abcdef0123456789", min_size=1)).map(tuple),
    scan=st.none()
    | st.builds(
        cursors.Scan,
        since=st.none() | st.integers(0, 10**12),
        started_at=st.floats(0, 2e9),
        next=st.none() | st.text(),
        pages=st.integers(0, 10**6),
        rows=st.integers(0, 10**9),
        first=st.none() | st.integers(0, 10**12),
        top=st.none() | st.integers(0, 10**12),
        known=st.none() | st.integers(0, 10**12),
        seen=st.none() | st.dictionaries(st.text("abc"), st.integers(0, 10**12)),
    ),
    tombstones=st.none() | st.integers(0, 10**12),
    tombstones_at=st.floats(0, 2e9),
    refused_at=st.lists(st.floats(0, 2e9)).map(tuple),
    refused_why=st.text(),
    digest=st.text(),
    ceiling=st.none() | st.integers(0, 10**12),
)


@given(cursor_values)
def test_a_cursor_survives_the_state_as_it_was(cursor: Cursor) -> None:
    import json

    assert Cursor.from_state(json.loads(json.dumps(cursor.to_state()))) == cursor


def test_the_state_of_an_earlier_version_is_read_and_written_with_its_keys() -> None:
    state = {
        "column": "Timestamp",
        "feed": "sync",
        "value": 12_000,
        "recent": ["a1", "b2"],
        "lag_digest": "d3",
        "lag_since": 7_000,
        "buried": [9_000, 9_500],
        "noticed": "n4",
        "scan": {"since": 7_000, "started_at": 1.0, "seen": {"a1": 11_000}},
    }
    cursor = Cursor.from_state(state)

    assert (cursor.overlap_marks, cursor.overlap_digest, cursor.overlap_since) == (
        ("a1", "b2"),
        "d3",
        7_000,
    )
    assert (cursor.applied_tombstones, cursor.webhook_mark) == ((9_000, 9_500), "n4")
    assert cursor.unknown == {}
    written = cursor.to_state()
    assert {key: written[key] for key in ("lag_digest", "lag_since", "noticed")} == {
        key: state[key] for key in ("lag_digest", "lag_since", "noticed")
    }
    assert (written["recent"], written["buried"]) == (("a1", "b2"), (9_000, 9_500))
    assert written.keys() <= state.keys()


@given(st.tuples(st.text(), st.integers()), st.tuples(st.text(), st.integers()), st.integers())
def test_different_rows_have_different_fingerprints(
    one: tuple[str, int], two: tuple[str, int], version: int
) -> None:
    same = cursors.fingerprint(one, version) == cursors.fingerprint(two, version)
    assert same == (one == two)


def links(before: int, ring: int) -> Iterator[str]:
    """Links of a chain that leads into a ring."""
    yield from (f"/before{n}" for n in range(before))
    while True:
        yield from (f"/ring{n}" for n in range(ring))


@pytest.mark.parametrize("before", [0, 1, 5, 40])
@pytest.mark.parametrize("ring", [1, 2, 3, 20])
def test_a_chain_that_goes_round_is_noticed_over_any_number_of_runs(before: int, ring: int) -> None:
    cursor = cursors.begin(Cursor(column="Timestamp", feed="sync"), now=NOW, since=None)
    for read, link in enumerate(links(before, ring)):
        cursor = Cursor.from_state(cursor.to_state())  # another run
        assert cursor.scan is not None
        if cursors.goes_round(cursor.scan, link):
            break
        cursor = cursors.advance(cursor, PageFacts(1, read, {}, link))
    assert before + ring <= read <= 3 * (before + ring) + 1


def test_empty_pages_are_counted_over_any_number_of_runs() -> None:
    cursor = cursors.begin(Cursor(column="Timestamp", feed="sync"), now=NOW, since=None)
    for read in range(100):
        cursor = Cursor.from_state(cursor.to_state())
        assert cursor.scan is not None
        if cursors.goes_round(cursor.scan, f"/{read}"):
            break
        cursor = cursors.advance(cursor, PageFacts(0, None, {}, f"/{read}"))
    assert read == cursors.EMPTY_PAGES + 1


def test_a_page_that_is_wrong_is_asked_for_once_more_and_then_its_chain_given_up() -> None:
    cursor = cursors.begin(Cursor(column="Timestamp", feed="sync"), now=NOW, since=None)
    assert cursors.failed(cursor).scan is None  # the first page: nothing is lost with it
    cursor = cursors.advance(cursor, PageFacts(1, 1, {}, "/2"))
    once = cursors.failed(cursor)
    assert once.scan is not None
    assert once.scan.next == "/2"
    assert cursors.failed(once).scan is None
    again = cursors.failed(cursors.advance(once, PageFacts(1, 2, {}, "/3")))
    assert again.scan is not None
    assert again.scan.next == "/3"


def test_pages_without_rows_tell_of_no_version() -> None:
    assert Scan(since=None, started_at=0.0, pages=2, known=5).safe is None


def test_rows_are_remembered_from_where_the_next_scan_would_begin() -> None:
    start = cursors.begin(Cursor(column="Timestamp"), now=NOW, since=None)
    assert cursors.interesting_floor(start, 100_000) == 95_000

    second = cursors.advance(start, facts(100_000, last=False))
    assert cursors.interesting_floor(second, 50_000) == 95_000
    assert cursors.interesting_floor(second, 300_000) == 95_000
