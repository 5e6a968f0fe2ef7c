"""How far one entity of one division has been read: pure arithmetic on the digits that Exact sent.

A *scan* is one chain of pages, from its filter to the page without a next link. Rows change while
it runs, and pages come in key order, so the highest version seen is not a safe cursor: a row that
changed on a page already read may have a lower version and would never be requested again. The
safe value is

* for a chain of one page, which shows one moment: the highest version on it;
* for a longer chain: the highest version that certainly existed when the chain began, according to
  its *first page*, to other reads or, for ``Modified``, to the server's clock. All later changes
  have a higher version. Rows that this chain read above that version are read again by the next.
  Version order does not help: a row that commits late can appear on a page already read.

Versions are integers: ``Timestamp`` as it is, ``Modified`` as the milliseconds in ``/Date(ms)/``,
which are wall-clock digits (API 3.5) and never converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

from .records import NOT_STORED, replace, split_known, stored_as, stored_fields

# How far below the cursor rows are read again. A row gets its version when it is written, not when
# it is committed (API 4.2). Modified repeats an hour in October, and also has late commits (API 3.5).
TIMESTAMP_OVERLAP = 5_000
MODIFIED_OVERLAP_MS = 2 * 3600 * 1000
# Dutch digits run up to two hours ahead of UTC.
MODIFIED_AHEAD_MS = 2 * 3600 * 1000
# Rows of the overlap that are remembered, so that a quiet entity loads nothing.
OVERLAP_MAX = 128
REMEMBERED_MAX = 4 * OVERLAP_MAX
# Stored in place of more fingerprints: the next read treats every row of the overlap as new.
MANY = ("*",)
# How long a stream is not called after Exact refused it because a module, right or scope is missing.
DENIED_S = 7 * 86_400
# Consecutive empty pages with a next link; more are taken for a loop.
EMPTY_PAGES = 50


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A chain of pages that is being read, possibly over several runs.

    Attributes:
        since: Where its filter began; ``None`` for a full pass.
        started_at: When its first page was requested; seconds since the epoch, UTC.
        next: Path and query of the next page to read; ``None`` before the first.
        pages: Pages read.
        rows: Rows read.
        first: Highest version on the first page.
        top: Highest version on any page.
        known: A version that certainly existed when the scan began; ``None`` if unknown.
        seen: Fingerprints of the highest rows with their versions; ``None`` once there were too many.
        empty: Consecutive pages without rows but with a next link, counted back from the last page.
        mark: Hash of a link of this chain; it occurs again only if the chain is a loop.
        failures: Number of failed reads of the next page; 0 once it is read.
        synced_from: Rows of a full pass have at least this ``_synced_at``, and all rows stored
            earlier have a lower one; seconds since the epoch, UTC.
        unknown: Fields written by a newer version; they are kept and ignored.
    """

    since: int | None
    started_at: float
    next: str | None = None
    pages: int = 0
    rows: int = 0
    first: int | None = None
    top: int | None = None
    known: int | None = None
    seen: dict[str, int] | None = field(default_factory=dict)
    empty: int = 0
    mark: str = ""
    failures: int = 0
    synced_from: float = 0.0
    unknown: Mapping[str, Any] = field(default_factory=dict, compare=False, metadata=NOT_STORED)

    @property
    def safe(self) -> int | None:
        """The highest version below which the scan cannot have missed a row."""
        if self.pages == 1 or self.top is None:
            return self.top
        return _max(self.first, None if self.known is None else min(self.known, self.top))


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """State of one entity of one division between two reads.

    Attributes:
        column: ``Timestamp``, ``Modified`` or ``None`` (full refresh).
        feed: Kind of the feed that full passes read; empty if nothing was read yet.
        value: All rows up to this version have been read; ``None`` if none have.
        read_at: When the scan that set ``value`` began; seconds since the epoch, UTC.
        moved: ``DivisionMoveDate`` of the division (API 4.2) at that time; 0 if it never moved,
            ``None`` if unknown.
        moved_by: The division may have moved by then, although no ``DivisionMoveDate`` says so; milliseconds
            since the epoch, UTC; 0 if there is no sign of it.
        overlap_marks: Fingerprints of the rows that the next read will see again; ``MANY`` if too many.
        scan: The unfinished scan, if there is one.
        tombstones: Highest ``Timestamp`` of ``sync/Deleted`` applied to this entity; 0 for none,
            ``None`` if the tombstones before and after its first pass cannot be distinguished, or if a
            pass did not apply the tombstones left to it.
        tombstones_at: All deletions before this time are known; seconds since the epoch, UTC.
        unlisted_at: Time from which deletions may be missing: ``sync/Deleted`` was empty, or a row could not
            be compared with its tombstone; seconds since the epoch, UTC; 0 once none can be missing.
        applied_tombstones: ``Timestamp`` of applied tombstones that will be read again, the highest
            ``OVERLAP_MAX``; kept only if the rows come from a feed without ``Timestamp``.
        refused_at: Times of recent refusals of this stream; seconds since the epoch, UTC.
        refused_why: The error of the last of them; empty if there is none.
        digest: Hash of the whole content, for lists that are read in full; empty if unknown.
        ceiling: Highest version ever seen; it exists when the next scan begins.
        dropped: Fields that Exact has withdrawn; they are no longer selected.
        pages: Pages of the last full pass; 0 before it.
        left_to_pass: Whether tombstones count as applied although the current full pass has yet to
            apply them.
        soft: Whether stored rows may be marked as deleted.
        history: Whether the table of earlier states has all rows.
        lacks: Columns that the stored rows were loaded without; not part of the state.
        reconciled_at: Stored rows that Exact deleted before this time have been removed; seconds since
            the epoch, UTC.
        webhook_mark: Mark of the last webhook that the rows cover; empty if there is none.
        start_ms: Rows older than this were left out: ``Modified`` digits in milliseconds; ``None``: none.
        start_version: Rows up to this ``Timestamp`` were never requested; ``None``: all rows were.
        refreshed_for: When the user requested the last full pass, if every run since requested it too;
            seconds since the epoch, UTC.
        refresh_wanted: When the user requested a full pass that has not begun; seconds since the epoch, UTC;
            0 if there is no such request.
        stored_min: Lower bound for the stored rows after the loads so far; ``None`` if unknown.
        stored_max: Upper bound, likewise.
        stored_until: Highest ``_synced_at`` of the loaded rows, which the destination must contain;
            seconds since the epoch, UTC; 0 if unknown.
        empty_at: When a full pass first returned no rows although rows are stored and the user's right
            could not be checked; seconds since the epoch, UTC.
        behind: Whether the last scan began in an earlier run, so that later changes must still be read.
        overlap_digest: Hash of the rows that the last scan of changes read.
        overlap_since: Where the filter of that scan began.
        denied_since: When Exact first refused the stream because a module, right or scope is missing, if
            every reply since was the same; seconds since the epoch, UTC; 0 if it is not refused.
        denied_at: When Exact last refused it, likewise.
        unknown: Fields written by a newer version; they are kept and ignored.
    """

    column: str | None
    feed: str = ""
    value: int | None = None
    read_at: float = 0.0
    moved: int | None = 0
    moved_by: int = 0
    overlap_marks: tuple[str, ...] = field(default=(), metadata=stored_as("recent"))
    scan: Scan | None = None
    tombstones: int | None = None
    tombstones_at: float = 0.0
    unlisted_at: float = 0.0
    applied_tombstones: tuple[int, ...] = field(default=(), metadata=stored_as("buried"))
    refused_at: tuple[float, ...] = ()
    refused_why: str = ""
    digest: str = ""
    ceiling: int | None = None
    dropped: tuple[str, ...] = ()
    pages: int = 0
    left_to_pass: bool = False
    soft: bool = False
    history: bool = False
    lacks: tuple[str, ...] = field(default=(), metadata=NOT_STORED)
    reconciled_at: float = 0.0
    webhook_mark: str = field(default="", metadata=stored_as("noticed"))
    start_ms: int | None = None
    start_version: int | None = None
    refreshed_for: float = 0.0
    refresh_wanted: float = 0.0
    stored_min: int | None = None
    stored_max: int | None = None
    stored_until: float = 0.0
    empty_at: float = 0.0
    behind: bool = False
    overlap_digest: str = field(default="", metadata=stored_as("lag_digest"))
    overlap_since: int | None = field(default=None, metadata=stored_as("lag_since"))
    denied_since: float = 0.0
    denied_at: float = 0.0
    unknown: Mapping[str, Any] = field(default_factory=dict, compare=False, metadata=NOT_STORED)

    def to_state(self) -> dict[str, Any]:
        """JSON for dlt's state; defaults are left out."""
        values = self.__dict__
        plain = {
            key: values[name]
            for name, key, default in stored_fields(Cursor)
            if values[name] != default
        }
        if self.scan is not None:
            scan = {k: v for k, v in asdict(self.scan).items() if v is not None}
            plain["scan"] = {**scan.pop("unknown"), **scan, "seen": self.scan.seen}
        return {**self.unknown, **plain}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], lacks: tuple[str, ...] = ()) -> Cursor:
        """The cursor that ``to_state`` wrote."""
        plain, unknown = split_known(state, cls)
        plain.setdefault("column", None)
        scan = plain.pop("scan", None)
        for name in ("overlap_marks", "refused_at", "dropped", "applied_tombstones"):
            plain[name] = tuple(plain.get(name, ()))
        return cls(**plain, lacks=lacks, scan=_scan_of(scan) if scan else None, unknown=unknown)


def _scan_of(state: Mapping[str, Any]) -> Scan:
    plain, unknown = split_known({"since": None, **state}, Scan)
    return Scan(**plain, unknown=unknown)


def is_denied(cursor: Cursor, now: float) -> bool:
    """Whether Exact refused the stream lately because a module, right or scope is missing."""
    return bool(cursor.denied_at) and now - cursor.denied_at < DENIED_S


def last_asked(cursor: Cursor) -> float:
    """When the stream was last read to the end or refused; seconds since the epoch, UTC; 0 for never."""
    return max(cursor.read_at, cursor.denied_at, *cursor.refused_at)


def overlap(column: str) -> int:
    """How far below the cursor a read begins, in the column's own unit."""
    return TIMESTAMP_OVERLAP if column == "Timestamp" else MODIFIED_OVERLAP_MS


def is_settled(cursor: Cursor, zone_slack_s: float) -> bool:
    """Whether no row can still appear below a ``Modified`` cursor.

    This is so if the scan that set the cursor began at least one overlap after the time in the digits.
    European wall clocks run ahead of UTC, so reading the digits as UTC errs on the safe side;
    ``zone_slack_s`` covers sites whose clock may be behind UTC.
    """
    if cursor.column != "Modified" or cursor.value is None:
        return False
    return cursor.read_at * 1000 >= cursor.value + MODIFIED_OVERLAP_MS + zone_slack_s * 1000


def next_since(cursor: Cursor, zone_slack_s: float = 0.0) -> int | None:
    """Where the next scan's filter begins; ``None`` for a full pass."""
    if cursor.column is None or cursor.value is None:
        return None
    if is_settled(cursor, zone_slack_s):
        return cursor.value
    return max(0, cursor.value - overlap(cursor.column))


def begin(
    cursor: Cursor,
    *,
    now: float,
    since: int | None,
    known: int | None = None,
    synced_from: float = 0.0,
) -> Cursor:
    """Start a scan.

    Args:
        cursor: How far the stream has been read.
        now: Seconds since the epoch, UTC.
        since: Where its filter begins; ``None`` for a full pass.
        known: A version that certainly exists already, from a source other than the cursor.
        synced_from: Rows of the scan have at least this ``_synced_at``.
    """
    known = _max(known, cursor.ceiling)
    scan = Scan(since=since, started_at=now, known=known, synced_from=synced_from)
    return replace(cursor, scan=scan)


@dataclass(frozen=True)
class PageFacts:
    """What a scan needs from one page: the versions of its rows and its next link.

    Attributes:
        rows: Number of rows.
        high: Highest version on it; ``None`` without rows or without a version column.
        fingerprints: Fingerprints of the rows to remember, with their versions; ``None`` if too many.
        next: Path and query of the next page; ``None`` on the last.
    """

    rows: int
    high: int | None
    fingerprints: Mapping[str, int] | None
    next: str | None


def advance(cursor: Cursor, page: PageFacts) -> Cursor:
    """The cursor after one page; without a next link the scan ends and the cursor moves."""
    scan = cursor.scan
    if scan is None:
        raise ValueError("advance() without a scan")
    scan = replace(
        scan,
        next=page.next,
        pages=scan.pages + 1,
        rows=scan.rows + page.rows,
        first=page.high if scan.pages == 0 else scan.first,
        top=_max(scan.top, page.high),
        empty=scan.empty + 1 if page.next is not None and not page.rows else 0,
        mark=_link_mark(page.next) if (scan.pages + 1).bit_count() == 1 else scan.mark,
        failures=0,
    )
    scan = replace(scan, seen=_remember(cursor, scan, page.fingerprints))
    cursor = replace(cursor, scan=scan)
    return cursor if page.next is not None else _finish(cursor, scan)


def failed(cursor: Cursor) -> Cursor:
    """The cursor after an invalid page.

    The next run requests the page once more; if it is invalid again, the scan starts over.
    """
    scan = cursor.scan
    if scan is None:
        return cursor
    once_more = scan.next is not None and not scan.failures
    return replace(cursor, scan=replace(scan, failures=1) if once_more else None)


def without_fingerprints(cursor: Cursor) -> Cursor:
    """The cursor without fingerprints, so that no row is skipped as known."""
    scan = cursor.scan
    return replace(cursor, overlap_marks=(), scan=None if scan is None else replace(scan, seen={}))


def goes_round(scan: Scan, link: str) -> bool:
    """Whether a next link leads back to a page already read, or through endless empty pages.

    This is Brent's cycle detection: the mark moves to the current link whenever the number of pages is
    a power of two. One stored link thus detects a loop of any length, even across runs.
    """
    return scan.empty > EMPTY_PAGES or _link_mark(link) == scan.mark


def _link_mark(link: str | None) -> str:
    return "" if link is None else blake2b(link.encode(), digest_size=8).hexdigest()


def _finish(cursor: Cursor, scan: Scan) -> Cursor:
    value = _max(cursor.value if scan.since is not None else None, _sane(cursor, scan, scan.safe))
    marks: tuple[str, ...] = ()
    if value is not None and scan.seen is None:
        marks = MANY
    elif value is not None and scan.seen is not None and cursor.column is not None:
        floor = value - overlap(cursor.column)
        marks = tuple(sorted(mark for mark, at in scan.seen.items() if at >= floor))
    return replace(
        cursor,
        value=value,
        read_at=scan.started_at,
        overlap_marks=marks if len(marks) <= OVERLAP_MAX else MANY,
        ceiling=_max(cursor.ceiling, _sane(cursor, scan, scan.top)),
        scan=None,
    )


def _sane(cursor: Cursor, scan: Scan, version: int | None) -> int | None:
    """Cap ``Modified`` at the present: one row from the future would hide all later changes."""
    if cursor.column != "Modified" or version is None:
        return version
    return min(version, int(scan.started_at * 1000) + MODIFIED_AHEAD_MS)


def interesting_floor(cursor: Cursor, high: int | None) -> int | None:
    """Rows at or above this version may be read again by the next scan; ``None`` if not yet known."""
    scan = cursor.scan
    if cursor.column is None or scan is None or scan.seen is None:
        return None
    ahead = replace(
        scan,
        pages=scan.pages + 1,
        first=high if scan.pages == 0 else scan.first,
        top=_max(scan.top, high),
    )
    return _floor(cursor, ahead)


def fingerprint(values: Iterable[object], version: int) -> str:
    """A short hash of one state of one row.

    Args:
        values: Its key if versions are unique, otherwise all its values: two changes within one step
            of ``Modified`` (1/300 s, API 3.5) share a version.
        version: Its version.
    """
    text = repr((*values, version))
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _floor(cursor: Cursor, scan: Scan) -> int | None:
    """Where the filter of the next scan would begin if this scan ended now."""
    base = _max(scan.safe, cursor.value if scan.since is not None else None)
    return None if base is None or cursor.column is None else base - overlap(cursor.column)


def _remember(cursor: Cursor, scan: Scan, more: Mapping[str, int] | None) -> dict[str, int] | None:
    if scan.seen is None or more is None or cursor.column is None:
        return None
    floor = _floor(cursor, scan) or 0
    merged = {mark: at for mark, at in {**scan.seen, **more}.items() if at >= floor}
    return merged if len(merged) <= REMEMBERED_MAX else None


def _max(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)
