"""Where a stream starts: where its last load stopped, or from the beginning, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from math import ceil
from typing import Any

from ..errors import BLOCKED, UNAVAILABLE, RefusedError
from ..options import Options
from .cursors import Cursor, is_denied
from .divisions import STATUS_UNKNOWN, Division
from .records import replace
from .result import StreamResult
from .run import Run
from .shape import Shape
from .tombstones import MOVE_SLACK_MS, RETENTION_S

HOUR_S = 3600
MINUTE_S = 60
STAMP_SLACK_S = 0.001  # destinations store times with different precision
# Refusals within an hour after which a stream is not called (API 2.3: the 11th blocks the key).
REFUSALS_PER_HOUR = 3
# How long refusals of a stream that was read before must last until Exact counts as not offering it.
PROOF_S = 86_400


@dataclass(frozen=True, kw_only=True)
class Start:
    """The facts that decide where a stream starts.

    Attributes:
        shape: Shape of the entity's rows.
        division: The company.
        options: The user's options.
        now: Seconds since the epoch, UTC.
        refresh_asked_at: Time of the request for a full refresh; seconds since the epoch, UTC.
        rows_counted: Stored rows; ``None`` if they cannot be counted, or if an earlier round of this run has
            emitted something.
        rows_stored: ``rows_counted`` without those that only a window loaded.
        stored_until: Their highest ``_synced_at``, seconds since the epoch, UTC; 0 without rows.
        stored_from: Their lowest ``_synced_at``.
    """

    shape: Shape
    division: Division
    options: Options
    now: float
    refresh_asked_at: float
    rows_counted: int | None
    rows_stored: int | None
    stored_until: float
    stored_from: float

    @classmethod
    def of(cls, run: Run, shape: Shape, division: Division, cursor: Cursor) -> Start:
        """The facts of a stream that begins now.

        Args:
            run: Objects that all streams share.
            shape: Shape of the entity's rows.
            division: The company.
            cursor: Cursor of the last completed load.
        """
        entity, code, now = shape.entity.name, division.code, run.now()
        # An earlier round may have ended before the first page, and the loss of rows is not stored by then.
        is_counted = not run.log.has_emitted(entity, code)
        counted = run.rows_stored(entity, code) if is_counted else None
        last = run.destination.last_synced(entity, code)
        first = run.destination.first_synced(entity, code)
        return cls(
            shape=shape,
            division=division,
            options=run.options,
            now=now,
            refresh_asked_at=run.refresh_asked_at,
            rows_counted=counted,
            rows_stored=_without_windows(run, entity, code, cursor, counted),
            stored_until=0.0 if last is None else last.timestamp(),
            stored_from=0.0 if first is None else first.timestamp(),
        )

    @property
    def _entity(self) -> str:
        return self.shape.entity.name

    @property
    def has_dates(self) -> bool:
        """Whether rows have ``Modified``, on which ``start_date`` filters."""
        return "modified" in self.shape.arrow.names

    def notes_on_dates(self) -> Iterator[str]:
        """A note for each date option that has no effect."""
        options = self.options
        for setting, limit in (("start_date", options.start_ms), ("end_date", options.end_ms)):
            if limit is not None and not self.has_dates:
                yield f"{setting} leaves out nothing: its rows have no Modified"

    def may_read(self, cursor: Cursor, result: StreamResult) -> bool:
        """Whether the stream may make calls; if not, the reason is added to its result."""
        if self.division.blocked:
            status = self.division.blocked
            known = "" if status == STATUS_UNKNOWN else f" (BlockingStatus {status})"
            why = f"{result.where}: the company is blocked{known}"
            result.end("skipped", why, BLOCKED, permanent=True)
            return False
        refusals = recent_refusals(cursor, self.now)
        is_spent = len(refusals) >= REFUSALS_PER_HOUR
        if is_denied(cursor, self.now) and not self.options.retry_refused:
            day = datetime.fromtimestamp(cursor.denied_at, UTC).date()
            why = f"{result.where}: refused on {day} (no module, right or scope), so not asked for"
            result.end("refused", why, UNAVAILABLE, permanent=True)
            return False
        if is_spent:
            resumes_at = ceil((refusals[-REFUSALS_PER_HOUR] + HOUR_S) / MINUTE_S) * MINUTE_S
            why = (
                f"{result.where}: refused {len(refusals)} times within the hour, so not asked for before "
                f"{datetime.fromtimestamp(resumes_at, UTC):%Y-%m-%d %H:%M} UTC"
            )
            why += f"; {cursor.refused_why}" if cursor.refused_why else ""
            if cursor.denied_at:
                result.end("refused", why, UNAVAILABLE, permanent=True)
            else:
                result.end("refused", why, RefusedError.code, resumes_at=resumes_at)
        return not is_spent

    def denied(self, before: Cursor, cursor: Cursor, error: RefusedError) -> Cursor:
        """The cursor after a refusal, with the note that Exact does not offer the stream, if that is so.

        If a module, right or scope is missing, a stream that was never read is noted immediately. A stream
        that was read before is noted once the refusals have lasted a day, so that its rows do not become
        stale unnoticed. An endpoint with loaded rows that no longer exists is never noted.

        Args:
            before: Cursor with which the stream began.
            cursor: Current cursor.
            error: The refusal.
        """
        has_pages = any(c.scan is not None and c.scan.pages for c in (before, cursor))
        was_read = bool(self.rows_stored or before.read_at or has_pages)
        why = str(error).removeprefix(f"{self._entity} of division {self.division.code}: ")
        cursor = replace(cursor, refused_at=(*cursor.refused_at, self.now), refused_why=why)
        if not (error.lacks_access or (error.status == HTTPStatus.NOT_FOUND and not was_read)):
            return cursor
        since = before.denied_since or self.now
        is_lasting = not was_read or self.now - since >= PROOF_S
        return replace(cursor, denied_since=since, denied_at=self.now if is_lasting else 0.0)

    def fresh(self, before: Cursor) -> Cursor:
        """The cursor of a stream that was never read."""
        is_refresh = self._entity in self.options.full_refresh
        earlier = before.moved if before.feed else None
        moved = earlier if self.division.moved is None else self.division.moved
        return Cursor(
            column=self.shape.plan.column,
            feed=self.shape.plan.full.kind,
            moved=moved,
            moved_by=max(before.moved_by, int(self.now * 1000) if moved is None else 0),
            refused_at=before.refused_at,
            refused_why=before.refused_why,
            history=self._entity in self.options.history,
            start_ms=self.options.start_ms if self.has_dates else None,
            refreshed_for=self.refresh_asked_at if is_refresh else 0.0,
            empty_at=before.empty_at,
            soft=before.soft,
            unknown=before.unknown,
        )

    def resume(self, cursor: Cursor) -> tuple[Cursor, str]:
        """The cursor at which the stream starts, and a note if it starts over or ignores a start date."""
        fresh = self.fresh(cursor)
        if cursor.scan is not None and cursor.value is None:
            # A full pass that has already begun fulfils the request.
            cursor = replace(cursor, refreshed_for=fresh.refreshed_for)
        if not cursor.feed or cursor.column != fresh.column:
            return fresh, ""
        if self._has_moved(cursor):
            # Another database has its own row versions (API 4.2).
            return fresh, "the division moved to another database: read again"
        if self._missed_tombstones(cursor):
            return fresh, "tombstones older than two months are no longer listed: read again"
        if (why := self._why_again(cursor)) is not None:
            # A restored backup contains the deleted rows again.
            is_lost = cursor.tombstones is not None and self._has_lost_rows(cursor)
            kept = replace(
                fresh,
                tombstones=0 if is_lost else cursor.tombstones,
                tombstones_at=cursor.tombstones_at,
                applied_tombstones=() if is_lost else cursor.applied_tombstones,
                unlisted_at=cursor.unlisted_at,
                left_to_pass=cursor.left_to_pass,
            )
            return kept, f"{why}: read again" if why else ""
        # Stored links belong to one feed.
        scan = cursor.scan if cursor.feed == fresh.feed else None
        kept = replace(
            cursor, feed=fresh.feed, moved=fresh.moved, history=fresh.history, scan=scan,
            refreshed_for=fresh.refreshed_for, refresh_wanted=0.0,
        )  # fmt: skip
        return kept, self._note_on_later_start(cursor)

    def _note_on_later_start(self, cursor: Cursor) -> str:
        """A note if the start date is later than that of the loaded rows, which stay; empty if it is not."""
        start_ms = self.options.start_ms
        if start_ms is None or self.options.window or not self.has_dates or cursor.value is None:
            return ""
        is_later = cursor.start_ms is None or cursor.start_ms < start_ms
        return "start_date has no effect on rows that are loaded already" if is_later else ""

    def _has_moved(self, cursor: Cursor) -> bool:
        """Whether the division moved since its rows were read, or may have if that was not known before."""
        moved = self.division.moved
        if moved is None or moved == cursor.moved:
            return False
        if cursor.moved is not None:
            return True
        return moved > 0 and moved + MOVE_SLACK_MS > cursor.moved_by

    def _why_again(self, cursor: Cursor) -> str | None:
        """Reason why all rows must be read again; empty if the user requested it, ``None`` if not needed."""
        options = self.options
        if cursor.lacks:
            return f"new columns: {', '.join(cursor.lacks)}"
        if self._has_lost_rows(cursor):
            return "the table does not have the rows that were loaded"
        if cursor.start_ms is not None and (options.start_ms or 0) < cursor.start_ms:
            return "start_date is earlier than before"
        if cursor.start_version is not None and options.start_by != "timestamp":
            return "start_by is modified now"
        misses_history = self._entity in options.history and not cursor.history
        return "" if self._must_refresh(cursor) or misses_history else None

    def _has_lost_rows(self, cursor: Cursor) -> bool:
        """Whether the table was dropped, truncated or restored since the last load."""
        if self.rows_stored is None or cursor.stored_min is None or cursor.stored_max is None:
            return False
        is_older = self.stored_until < cursor.stored_until - STAMP_SLACK_S
        # A load that failed halfway may already have created a dropped table again.
        is_another = 0 < cursor.stored_until < self.stored_from - STAMP_SLACK_S
        is_other = is_older or is_another
        return is_other or not cursor.stored_min <= self.rows_stored <= cursor.stored_max

    def with_request(self, cursor: Cursor) -> Cursor | None:
        """The cursor with the user's request for a full refresh; ``None`` if there is none to note.

        If this run must stop before the stream begins, the next one makes the refresh.
        """
        is_requested = self._entity in self.options.full_refresh and self._must_refresh(cursor)
        has_begun = cursor.scan is not None and cursor.value is None
        is_noted = cursor.refresh_wanted == self.refresh_asked_at
        if not cursor.feed or not is_requested or has_begun or is_noted:
            return None
        return replace(cursor, refresh_wanted=self.refresh_asked_at)

    def _must_refresh(self, cursor: Cursor) -> bool:
        """Whether the user requested a full refresh, now or earlier, that has not begun yet."""
        is_answered = cursor.refreshed_for == self.refresh_asked_at
        is_requested = self._entity in self.options.full_refresh or bool(cursor.refresh_wanted)
        return is_requested and not is_answered

    def _missed_tombstones(self, cursor: Cursor) -> bool:
        return (
            self.shape.entity.deleted_code is not None
            and self.options.deletes != "ignore"
            and cursor.tombstones is not None
            and self.now - cursor.tombstones_at > RETENTION_S
        )


def _without_windows(
    run: Run, entity: str, division: int, cursor: Cursor, counted: int | None
) -> int | None:
    """The number of stored rows that the cursor covers; ``None`` if unknown."""
    if run.options.window:  # its cursor does not cover the rows outside of it
        return None
    most = cursor.stored_max
    if counted is None or most is None or counted <= most:
        return counted
    added = run.destination.window_rows(entity, division, cursor.read_at)
    return max(most, counted - added)


def recent_refusals(cursor: Cursor, now: float) -> tuple[float, ...]:
    """Refusals of the past hour; seconds since the epoch, UTC."""
    return tuple(at for at in cursor.refused_at if at > now - HOUR_S)


def refresh_begun_at(states: Iterable[Mapping[str, Any]]) -> float | None:
    """Start of an incomplete full refresh of these streams; ``None`` if there is none.

    It is incomplete until its scans have ended and the changes since then have been read.

    Args:
        states: Cursors, as ``Cursor.to_state`` writes them.
    """
    return max(filter(None, map(_incomplete_refresh, states)), default=None)


def _incomplete_refresh(state: Mapping[str, Any]) -> float | None:
    if "refresh_wanted" in state:
        return float(state["refresh_wanted"])
    is_incomplete = "scan" in state or state.get("behind")
    return state.get("refreshed_for") if is_incomplete else None
