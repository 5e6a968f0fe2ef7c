"""How far one entity of one division has been read: pure arithmetic on the digits that Exact sent.

A *scan* is one chain of pages, from its filter to the page without a next link. Rows change while
it runs, and pages come in key order, so the highest version seen is no safe cursor: a row that
changed behind the scan has a version below it and would never be asked for again. What is safe:

* one page is one moment: the highest version on it;
* any longer chain: the highest version known to have existed when it began, be it from its *first
  page*, from other reads or, for ``Modified``, from the server's clock. All that changed later is
  higher. What the chain itself read above it is read again by the next one. Pages in version order
  are no exception: a row that commits late can slip in behind a chain that waits at the end.

Versions are integers: ``Timestamp`` as it is, ``Modified`` as the milliseconds in ``/Date(ms)/``,
which are wall-clock digits (API 3.5) and never converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from hashlib import blake2b
from typing import Any

from .records import replace

# Read again below the cursor. Row versions are given at write, not at commit (API 4.2); Modified
# repeats an hour in October and has late commits too (API 3.5).
TIMESTAMP_OVERLAP = 5_000
MODIFIED_OVERLAP_MS = 2 * 3600 * 1000
# Dutch digits run up to two hours ahead of UTC.
MODIFIED_AHEAD_MS = 2 * 3600 * 1000
# Rows of the overlap that are remembered, so that a quiet entity loads nothing.
RECENT_MAX = 128
REMEMBERED_MAX = 4 * RECENT_MAX
# Instead of more: the next read sees rows again, but none that is known.
MANY = ("*",)
# Empty pages in a row that still lead on; more is a loop.
EMPTY_PAGES = 50


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A chain of pages that is being read, possibly over several runs.

    Attributes:
        since: Where its filter began; ``None`` for a full pass.
        started_at: When its first page was asked for; seconds since the epoch, UTC.
        next: Path and query of the page to go on with; ``None`` before the first.
        pages: Pages read.
        rows: Rows read.
        first: Highest version on the first page.
        top: Highest version on any page.
        known: A version that is no higher than the highest when the scan began; ``None`` if unknown.
        seen: Fingerprints of the highest rows with their versions; ``None`` once they were too many.
        empty: Pages without rows that led on, the last in a row.
        mark: A link of this chain, met again only if the chain goes round.
        failures: How often the next page was not a page; 0 once it is read.
        synced_from: Rows of a full pass carry at least this ``_synced_at``, and all rows that were
            stored before it carry less; seconds since the epoch, UTC.
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
    unknown: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def safe(self) -> int | None:
        """The highest version below which nothing can have been missed."""
        if self.pages == 1 or self.top is None:
            return self.top
        return _max(self.first, None if self.known is None else min(self.known, self.top))


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """What is known of one entity of one division between two reads.

    Attributes:
        column: ``Timestamp``, ``Modified`` or ``None`` (full refresh).
        feed: Kind of the feed that full passes read; empty if nothing was read yet.
        value: Everything up to here has been read; ``None`` if nothing has.
        read_at: When the scan that set ``value`` began; seconds since the epoch, UTC.
        moved: ``DivisionMoveDate`` of the division (API 4.2) at that time; 0 if it never moved,
            ``None`` if that is not known.
        recent: Fingerprints of the rows that the next read will see again; ``MANY`` if too many.
        scan: The scan under way.
        tombstones: Highest ``Timestamp`` of ``sync/Deleted`` applied to this entity; 0 for none,
            ``None`` if those of before its first pass cannot be told from those after it, or if a pass did
            not apply those that were left to it.
        tombstones_at: All that was deleted before is known; seconds since the epoch, UTC.
        buried: ``Timestamp`` of the tombstones that were applied and will be read again, the highest
            ``RECENT_MAX``; kept where rows come by a feed without ``Timestamp``.
        refused_at: When Exact refused this stream lately; seconds since the epoch, UTC.
        digest: Mark of the whole content, of lists that are read in full; empty if not known.
        ceiling: Highest version ever seen; the next scan begins after it existed.
        dropped: Fields that Exact has withdrawn, left out since.
        pages: Of the last full pass; 0 before it.
        left_to_pass: Whether tombstones count as applied that the pass over all rows under way must apply.
        soft: Whether stored rows may be marked as deleted.
        history: Whether the table of earlier states has all rows.
        lacks: Columns that its rows were loaded without; not part of the state.
        reconciled_at: Stored rows that were gone by then have been removed; seconds since the epoch,
            UTC.
        noticed: Mark of the last webhook that the rows cover; empty if of none.
        start_ms: Rows older than this were left out: ``Modified`` digits in milliseconds; ``None``: none.
        start_version: Rows up to this ``Timestamp`` were not even read; ``None``: all were.
        refreshed_for: When the user asked for the last pass over all rows, if every run since did so,
            too; seconds since the epoch, UTC.
        stored_min: Fewest rows that the destination can hold after the loads so far; ``None`` if that is
            not known.
        stored_max: Most rows that it can hold, likewise.
        stored_until: Highest ``_synced_at`` of the loaded rows, which the destination must hold; 0 if that
            is not known; seconds since the epoch, UTC.
        empty_at: When a pass over all rows was empty for the first time, although rows are stored and
            the user's right could not be checked; seconds since the epoch, UTC.
        behind: Whether the last scan began in an earlier run, so that the changes since must be read.
        lag_digest: Mark of the rows that the last scan of changes read.
        lag_since: Where the filter of that scan began.
        denied_since: When Exact first refused the stream because a module, right or scope is missing, if
            every answer since was the same; seconds since the epoch, UTC; 0 if it is not refused.
        denied_at: When it last did so, likewise.
        unknown: Fields written by a newer version; they are kept and ignored.
    """

    column: str | None
    feed: str = ""
    value: int | None = None
    read_at: float = 0.0
    moved: int | None = 0
    recent: tuple[str, ...] = ()
    scan: Scan | None = None
    tombstones: int | None = None
    tombstones_at: float = 0.0
    buried: tuple[int, ...] = ()
    refused_at: tuple[float, ...] = ()
    digest: str = ""
    ceiling: int | None = None
    dropped: tuple[str, ...] = ()
    pages: int = 0
    left_to_pass: bool = False
    soft: bool = False
    history: bool = False
    lacks: tuple[str, ...] = ()
    reconciled_at: float = 0.0
    noticed: str = ""
    start_ms: int | None = None
    start_version: int | None = None
    refreshed_for: float = 0.0
    stored_min: int | None = None
    stored_max: int | None = None
    stored_until: float = 0.0
    empty_at: float = 0.0
    behind: bool = False
    lag_digest: str = ""
    lag_since: int | None = None
    denied_since: float = 0.0
    denied_at: float = 0.0
    unknown: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def to_state(self) -> dict[str, Any]:
        """JSON for dlt's state; defaults are left out."""
        values = self.__dict__
        plain = {n: values[n] for n, default in _stored_fields(Cursor) if values[n] != default}
        if self.scan is not None:
            scan = {k: v for k, v in asdict(self.scan).items() if v is not None}
            plain["scan"] = {**scan.pop("unknown"), **scan, "seen": self.scan.seen}
        return {**self.unknown, **plain}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], lacks: tuple[str, ...] = ()) -> Cursor:
        """The cursor that ``to_state`` wrote."""
        plain, unknown = _split(state, cls)
        plain.setdefault("column", None)
        scan = plain.pop("scan", None)
        for name in ("recent", "refused_at", "dropped", "buried"):
            plain[name] = tuple(plain.get(name, ()))
        return cls(**plain, lacks=lacks, scan=_scan_of(scan) if scan else None, unknown=unknown)


def _scan_of(state: Mapping[str, Any]) -> Scan:
    plain, unknown = _split({"since": None, **state}, Scan)
    return Scan(**plain, unknown=unknown)


def _split(state: Mapping[str, Any], kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a dataclass, and those that only a newer version knows."""
    known = _names(kind)
    if state.keys() <= known:
        return dict(state), {}
    plain = {name: value for name, value in state.items() if name in known}
    return plain, {name: value for name, value in state.items() if name not in known}


@cache
def _names(kind: type) -> frozenset[str]:
    return frozenset(f.name for f in fields(kind))


@cache
def _stored_fields(kind: type) -> tuple[tuple[str, Any], ...]:
    """Name and default of each field that is part of the state."""
    return tuple((f.name, f.default) for f in fields(kind) if f.name not in {"lacks", "unknown"})


def overlap(column: str) -> int:
    """How far below the cursor a read begins, in the column's own unit."""
    return TIMESTAMP_OVERLAP if column == "Timestamp" else MODIFIED_OVERLAP_MS


def is_settled(cursor: Cursor, zone_slack_s: float) -> bool:
    """Whether no row can still appear below a ``Modified`` cursor.

    So once the scan that set it began more than the overlap later than the digits say. In Europe the
    digits run ahead of UTC, so reading them as UTC errs on the safe side; ``zone_slack_s`` covers
    sites where they may run behind.
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
        known: A version that certainly exists by now, if one is known beside the cursor's own.
        synced_from: Rows of the scan carry at least this ``_synced_at``.
    """
    known = _max(known, cursor.ceiling)
    scan = Scan(since=since, started_at=now, known=known, synced_from=synced_from)
    return replace(cursor, scan=scan)


@dataclass(frozen=True)
class PageFacts:
    """What a scan must know of one page: its rows' versions and where it leads.

    Attributes:
        rows: Number of rows.
        high: Highest version on it; ``None`` without rows or without a version column.
        fingerprints: Of the rows worth remembering, with their versions; ``None`` if too many.
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
    """The cursor after a page that cannot be right.

    Such a page is asked for once more by the next run; if it is wrong again the chain is given up.
    """
    scan = cursor.scan
    if scan is None:
        return cursor
    once_more = scan.next is not None and not scan.failures
    return replace(cursor, scan=replace(scan, failures=1) if once_more else None)


def without_fingerprints(cursor: Cursor) -> Cursor:
    """The cursor without fingerprints, so that no row is skipped as known."""
    scan = cursor.scan
    return replace(cursor, recent=(), scan=None if scan is None else replace(scan, seen={}))


def goes_round(scan: Scan, link: str) -> bool:
    """Whether a page's link leads back to a page that was read, or on and on without rows.

    The mark moves to the link in hand at every power of two of pages (Brent): so a ring of any length
    is noticed with one link in mind, over however many runs the chain is read.
    """
    return scan.empty > EMPTY_PAGES or _link_mark(link) == scan.mark


def _link_mark(link: str | None) -> str:
    return "" if link is None else blake2b(link.encode(), digest_size=8).hexdigest()


def _finish(cursor: Cursor, scan: Scan) -> Cursor:
    value = _max(cursor.value if scan.since is not None else None, _sane(cursor, scan, scan.safe))
    recent: tuple[str, ...] = ()
    if value is not None and scan.seen is None:
        recent = MANY
    elif value is not None and scan.seen is not None and cursor.column is not None:
        floor = value - overlap(cursor.column)
        recent = tuple(sorted(mark for mark, at in scan.seen.items() if at >= floor))
    return replace(
        cursor,
        value=value,
        read_at=scan.started_at,
        recent=recent if len(recent) <= RECENT_MAX else MANY,
        ceiling=_max(cursor.ceiling, _sane(cursor, scan, scan.top)),
        scan=None,
    )


def _sane(cursor: Cursor, scan: Scan, version: int | None) -> int | None:
    """No ``Modified`` beyond the present: one row from the future would hide all that follows."""
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
    """A short mark of one state of one row.

    Args:
        values: Its key where versions are unique, else all its values: two changes within one step
            of ``Modified`` (1/300 s, API 3.5) share a version.
        version: Its version.
    """
    text = repr((*values, version))
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _floor(cursor: Cursor, scan: Scan) -> int | None:
    """From where the next scan would read if this one ended now."""
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
