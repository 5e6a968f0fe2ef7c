"""One entity of one division: from where, how far, what is gone since, and how it ended."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.destination.exceptions import DestinationException

from ..client.call import Target
from ..errors import (
    BLOCKED,
    KEYLESS,
    UNEXPECTED,
    AuthenticationError,
    ConfigurationError,
    ContractError,
    ExactError,
    LimitError,
    RefusedError,
    StreamError,
    describe_fault,
)
from . import cursors, rows
from .cursors import Cursor
from .deletes import Gone
from .deletions import RETENTION_S, Tombstones, about_unknown
from .key_sync import begins_at, calls_for, hindrance, is_due, read_keys
from .rounds import PausedError
from .scanner import Chain

HOUR_S = 3600
# Refusals within an hour after which a stream is not even tried (API 2.3: the 11th blocks the key).
REFUSALS_PER_HOUR = 3


class Stream(Chain):
    """Reads one entity of one division, and removes what is gone; arguments as of ``Chain``."""

    _deletes_error = _deletes_code = ""

    async def read(self) -> None:
        """Read until the end, a limit or the round's end; the outcome is in ``result``."""
        self.run.results.append(self.result)
        try:
            await self._read_to_an_end()
        except (ExactError, DestinationException, OSError):
            raise  # not the stream's: the database, the disk
        except Exception as error:  # noqa: BLE001 (one bad stream spoils nothing)
            self._end("failed", f"{self.target.where}: {describe_fault(error)}", UNEXPECTED)
            self.result.permanent = True

    async def _read_to_an_end(self) -> None:
        try:
            await self._read_or_release()
        except PausedError:
            self._end("incomplete", "goes on in the next round")
        except LimitError as error:
            self._end("waiting", str(error), error.code)
            self.result.resumes_at = error.resumes_at
        except RefusedError as error:
            await self._note_refusal(error)
        except StreamError as error:
            self._end("failed", str(error), error.code)
            self.result.permanent = error.is_permanent
            if isinstance(error, ContractError):
                await self._move(None, cursors.failed(self.cursor))
        except (AuthenticationError, ConfigurationError) as error:
            self._end("failed", str(error), error.code)
            self.run.rounds.give_up(error)

    async def _read_or_release(self) -> None:
        try:
            await self._read()
        finally:
            await self._release()

    async def _read(self) -> None:
        if not self._may_start():
            return
        if self.run.options.start_ms is not None and not self._tells_changes:
            self.result.notes.append("start_date leaves out nothing: its rows have no Modified")
        self._start_over_if_needed()
        await self._settle_marks()
        await self._apply_tombstones()
        self._count_shared_calls()
        if self.cursor.scan is None or self.cursor.scan.pages == 0:
            await self._begin()
        self._leave_out(self.cursor.dropped)
        old = self._is_old()
        if await self._scan():
            if old:  # not in this load, where a row that is gone and one that came back could meet
                self._end("incomplete", "what changed since it began follows in the next round")
            else:
                await self._reconcile()
                await self._end_read()
        elif self.result.status == "running":
            self._end("incomplete", "goes on in the next round")

    def _is_old(self) -> bool:
        """Whether the scan began in an earlier run, so that it ends with what was true then."""
        scan = self.cursor.scan
        return (
            self.shape.plan.column is not None
            and scan is not None
            and scan.started_at < self.run.started_at
        )

    async def _end_read(self) -> None:
        lacking = "; ".join(
            filter(None, (self._deletes_error, self.run.keyless.lacking(self.result)))
        )
        if not lacking:
            await self._note_noticed()
            self._end("complete")
            return
        # Maybe rows are there that are gone, or some are not: no success, and no use in another round.
        self._end("incomplete", lacking, self._deletes_code or KEYLESS)
        self.result.permanent = self.result.permanent or not self._deletes_error
        self.run.rounds.settled.add((self.entity.name, self.division.code))

    async def _note_noticed(self) -> None:
        """The rows cover what webhooks told before this run began; committed as the cursor is."""
        notices = self.run.options.notices or {}
        mark = notices.get((self.entity.name, self.division.code), "")
        if mark and self.cursor.read_at >= self.run.started_at:
            await self._move(None, replace(self.cursor, noticed=mark))

    # -- before the first page -----------------------------------------------------------------

    def _may_start(self) -> bool:
        if self.division.blocked:
            why = f"the division is blocked (BlockingStatus {self.division.blocked})"
            self._end("skipped", why, BLOCKED)
            # Who names it wants it, so leaving it out is no success.
            self.result.permanent = bool(self.run.options.divisions)
            return False
        now = self.run.clock.now()
        recent = tuple(at for at in self.cursor.refused_at if at > now - HOUR_S)
        self.cursor = replace(self.cursor, refused_at=recent)
        if len(recent) >= REFUSALS_PER_HOUR:
            why = f"refused {len(recent)} times within the hour; asked again later"
            self._end("refused", why, RefusedError.code)
            self.result.permanent = True
            return False
        return True

    def _start_over_if_needed(self) -> None:
        fresh = self._fresh()
        if self.cursor.scan is not None and self.cursor.value is None:
            # A pass over all rows that is under way answers the wish for one.
            self.cursor = replace(self.cursor, refreshed_for=fresh.refreshed_for)
        cursor = self.cursor
        if not cursor.feed or cursor.column != fresh.column:
            self.cursor = fresh
        elif cursor.moved not in {None, fresh.moved}:
            # Row versions start anew in another database (API 4.2).
            self.result.notes.append("the division moved to another database: read anew")
            self.cursor = fresh
        elif self._missed_tombstones():
            self.result.notes.append("tombstones of over two months ago are gone: read anew")
            self.cursor = fresh
        elif (why := self._why_anew()) is not None:
            self.result.notes += [f"{why}: read anew"] if why else []
            self.cursor = replace(
                fresh,
                tombstones=cursor.tombstones,
                tombstones_at=cursor.tombstones_at,
                buried=cursor.buried,
            )
        else:
            # The links of another feed lead elsewhere.
            scan = cursor.scan if cursor.feed == fresh.feed else None
            self.cursor = replace(
                cursor, feed=fresh.feed, moved=fresh.moved, history=fresh.history, scan=scan,
                refreshed_for=fresh.refreshed_for,
            )  # fmt: skip

    def _fresh(self) -> Cursor:
        """The cursor of a stream of which nothing was read."""
        before, options = self.cursor, self.run.options
        is_refresh = self.entity.name in options.full_refresh
        earlier = before.moved if before.feed else None
        return Cursor(
            column=self.shape.plan.column,
            feed=self.shape.plan.full.kind,
            moved=earlier if self.division.moved is None else self.division.moved,
            refused_at=before.refused_at,
            history=self.entity.name in options.history,
            start_ms=options.start_ms if self._tells_changes else None,
            refreshed_for=self.run.refresh_asked_at if is_refresh else 0.0,
        )

    @property
    def _tells_changes(self) -> bool:
        """Whether rows say when they were changed, so that ``start_date`` can tell them apart."""
        return "modified" in self.shape.arrow.names

    def _why_anew(self) -> str | None:
        """What asks for all rows once more, empty if the user did; ``None`` if nothing does."""
        cursor, options = self.cursor, self.run.options
        if cursor.lacks:
            return f"new columns: {', '.join(cursor.lacks)}"
        if cursor.start_ms is not None and (options.start_ms or 0) < cursor.start_ms:
            return "start_date is earlier than it was"
        if cursor.start_version is not None and options.start_by != "timestamp":
            return "start_by is modified now"
        misses_history = self.entity.name in options.history and not cursor.history
        return "" if self._shall_refresh() or misses_history else None

    def _shall_refresh(self) -> bool:
        """Whether the user wants all rows anew, and that is neither under way nor done."""
        is_answered = self.cursor.refreshed_for == self.run.refresh_asked_at
        return self.entity.name in self.run.options.full_refresh and not is_answered

    def _missed_tombstones(self) -> bool:
        return (
            self.entity.deleted_code is not None
            and self.run.options.deletes != "ignore"
            and self.cursor.tombstones is not None
            and self.run.clock.now() - self.cursor.tombstones_at > RETENTION_S
        )

    # -- what is gone --------------------------------------------------------------------------

    async def _settle_marks(self) -> None:
        """Rows that were marked while deletes were soft go once they are hard."""
        deletes = self.run.options.deletes
        if deletes == "soft":
            self.cursor = replace(self.cursor, soft=True)
        elif deletes == "hard" and self.cursor.soft and self.shape.plan.column is not None:
            await self._remove(self.removals.marked(), replace(self.cursor, soft=False))

    async def _apply_tombstones(self) -> None:
        if not self.removals.by_tombstones:
            return
        found = await self.run.tombstones.of(self.division.code)
        if found.error is not None:
            self._deletes_error = f"deletes are unknown: {found.error}"
            self._deletes_code = found.error.code
            self.result.permanent = found.error.is_permanent
            return
        self.run.tombstones.note_version(self.division.code, found.top)
        self._note_unknown(found)
        if self.cursor.tombstones_at == found.read_at:
            return  # applied in an earlier round
        self._start_over_if_never_followed()
        # A pass over all rows finds by itself what is gone, and after a move to another database the
        # versions of older tombstones tell nothing of rows: they are noted as applied.
        starts_anew = self.cursor.value is None and self.cursor.scan is None
        if not starts_anew:
            gone = self.removals.tombstoned(found, self.cursor)
        elif self.run.options.start_ms is not None:  # what is older is not met by the pass
            never_moved = self.cursor.moved == 0
            gone = self.removals.tombstoned(found, self.cursor, comparable=never_moved)
        else:
            gone = Gone(())
        cursor = self.removals.with_tombstones(self.cursor, found, all_read_anew=starts_anew)
        await self._remove(gone, cursor)

    def _start_over_if_never_followed(self) -> None:
        """Only a pass over all rows tells which went and which came back before a move."""
        cursor = self.cursor
        if cursor.tombstones is None and (cursor.value is not None or cursor.scan is not None):
            self.result.notes.append(
                "tombstones were not read since the division moved to another database: read anew"
            )
            self.cursor = self._fresh()

    def _note_unknown(self, found: Tombstones) -> None:
        """Tombstones of no entity are kept and told of once, also if the list is not loaded."""
        run, code = self.run, self.division.code
        if run.selection.loads("deleted"):
            return
        if run.tombstones.told_by.setdefault(code, self.entity.name) != self.entity.name:
            return
        strange = found.of_unknown()
        if not strange.num_rows:
            return
        self.result.notes += about_unknown(strange)
        ids = strange.column("id")
        # Those that are there may be there with all columns.
        held = self.stored.versions(
            "deleted", code, "id", ids.to_pylist(), "timestamp", marked=True
        )
        new = strange.filter(pc.invert(pc.is_in(ids, value_set=pa.array(held, ids.type))))
        if new.num_rows:
            run.tombstones.strange.append(rows.stamp(new, run.clock.now()))

    async def _reconcile(self) -> None:
        """Compare all keys, where nothing else tells what is gone and it is time to."""
        options, code = self.run.options, self.division.code
        now = self.run.clock.now()
        if not is_due(self.entity.name, self.cursor, self.removals, options, now=now):
            return
        held, feed = self.stored.count(self.entity.name, code), self.shape.plan.full
        if not held:
            return
        since_ms = begins_at(feed, options)
        of_held = calls_for(held, feed.page_size) if since_ms is None else 1  # some may be older
        needed = max(self.cursor.pages, of_held)
        limits = self.run.limits
        if why := hindrance(needed, limits.calls_left(code, now), limits.most_a_day(code)):
            self.result.notes.append(why)
            return
        # All keys or none: what was read of them is of no use in another round.
        self.target.may_pause = False
        self.target.before_call = self._tell_and_heed_stop
        met = await read_keys(self.run.connection.client, self.target, self.shape, since_ms)
        if not await self._may_be_empty(met):
            self._end_without_rights()
            return
        gone = self.removals.unmet(met, began_at=now, since_ms=since_ms)
        await self._remove(gone, replace(self.cursor, pages=len(met), reconciled_at=now))

    def _tell_and_heed_stop(self, target: Target) -> None:
        """Keys bring no rows, so nothing else tells of these calls before they are all made."""
        self.result.calls = target.calls
        self.run.on_progress(self.result)
        self.run.rounds.heed_stop(target)

    # -- outcome -------------------------------------------------------------------------------

    async def _note_refusal(self, error: RefusedError) -> None:
        self._end("refused", str(error), error.code)
        self.result.permanent = True
        if error.status == HTTPStatus.NOT_FOUND:
            self.result.notes.append(
                "rows that were loaded stay; leave it out with --entities if it is gone for good"
            )
        now = self.run.clock.now()
        await self._move(None, replace(self.cursor, refused_at=(*self.cursor.refused_at, now)))
