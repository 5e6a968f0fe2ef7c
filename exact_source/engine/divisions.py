"""The divisions of a run: reads the list through one of them, and selects those that the user wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..auth.masking import clean_text
from ..catalogue import load_catalogue
from ..client.call import Call
from ..client.lists import read_all
from ..client.withdrawn_columns import read_list
from ..errors import ConfigurationError, LimitError, RefusedError
from ..odata.page import PageSchema
from ..options import Options
from ..workers.leases import SqlLeases, division_item
from . import rows
from .call_accounting import Selection
from .connection import Connection

# Fields of the list of divisions that every run needs, even if the list is not loaded.
DIVISION_FIELDS = ("Code", "Description", "BlockingStatus", "DivisionMoveDate")
# ``Division.blocked`` if Exact refuses calls because the division is blocked, but the list cannot be read.
STATUS_UNKNOWN = -1
# Divisions through which the list is requested before the run gives up.
DIVISION_TRIES = 3


@dataclass(frozen=True)
class Division:
    """A company.

    Attributes:
        code: Division code, as in URLs.
        name: Description.
        blocked: ``BlockingStatus``; 0 is open (API 5), or ``STATUS_UNKNOWN``.
        moved: ``DivisionMoveDate`` in wall-clock milliseconds; 0 if it never moved, ``None`` if the
            list of divisions was refused.
    """

    code: int
    name: str = ""
    blocked: int = 0
    moved: int | None = 0


class Divisions:
    """The list of divisions, read once a run.

    Args:
        options: Options with the wanted divisions.
        selection: Tables of this run.
        connection: Sends the calls.
        before_call: Called before each request; raises to cancel it.
        leases: Leases of the divisions, if several workers share them.
    """

    def __init__(
        self,
        options: Options,
        selection: Selection,
        connection: Connection,
        *,
        before_call: Callable[[Call], None],
        leases: SqlLeases | None,
    ) -> None:
        self._known: Callable[[], Iterable[int]] = tuple
        self._options = options
        self._selection = selection
        self._connection = connection
        self._before_call = before_call
        self._leases = leases
        self._listed: tuple[pa.Table | None, int] = (None, 0)
        self._is_whole = False
        self._refused_as_blocked: set[int] = set()
        self._chosen: dict[int, Division] | None = None  # until the list was read

    def recall(self, known: Callable[[], Iterable[int]]) -> None:
        """Set a function that returns codes of earlier runs; called if the current division is blocked."""
        self._known = known

    async def chosen(self) -> list[Division]:
        """The divisions to read, open or not."""
        await self.listed(whole=self._selection.loads("divisions"))
        return self.chosen_so_far

    @property
    def chosen_so_far(self) -> list[Division]:
        """The divisions to read, open or not; empty until the list was read."""
        return list((self._chosen or {}).values())

    @property
    def codes(self) -> Collection[int]:
        """Codes of ``chosen_so_far``."""
        return self._chosen.keys() if self._chosen else ()

    def moved(self, code: int) -> int | None:
        """``DivisionMoveDate`` of a chosen division, as ``Division.moved``."""
        return (self._chosen or {})[code].moved

    async def listed(self, *, whole: bool = True) -> tuple[pa.Table | None, int]:
        """All rows of ``system/Divisions`` (``None`` if the app may not read it), and the number of calls.

        ``whole``: with all columns, not only ``DIVISION_FIELDS``.
        """
        async with self._connection.lock("divisions"):
            if self._chosen is None or whole > self._is_whole:
                self._listed = await self._read(None if whole else DIVISION_FIELDS)
                self._is_whole = whole
                chosen = self._choose(self._listed[0])
                self._chosen = {division.code: division for division in chosen}
                if not self._options.divisions:
                    await self._leased([d.code for d in chosen if not d.blocked])
        return self._listed

    # -- reading the list ----------------------------------------------------------------------

    async def _read(self, fields: Sequence[str] | None) -> tuple[pa.Table | None, int]:
        """Read the list through the first division that returns it; others may be blocked or out of calls."""
        entity = load_catalogue().entities["divisions"]
        feed = entity.feeds["regular"]
        schema = PageSchema(
            entity,
            feed,
            fields,
            guard=self._options.personal_data.guard(entity),
            raw_codes=self._options.raw_codes,
            utc_fields=self._options.utc_fields,
        )
        named = self._options.divisions
        failures: list[RefusedError | LimitError] = []
        calls = 0
        async for start in self._starts():
            call = Call(start, feed.path, "divisions", before_call=self._before_call)
            try:
                table = rows.concat(await read_list(self._connection, call, schema, feed))
                return table, calls + call.calls
            except (RefusedError, LimitError) as error:
                failures.append(error)
                if isinstance(error, RefusedError) and error.is_of_blocked_company:
                    self._refused_as_blocked.add(start)
            finally:
                self._selection.note_overhead("divisions", start, call.calls)
            calls += call.calls
            if sum(isinstance(f, RefusedError) for f in failures) == DIVISION_TRIES:
                break
        if named and isinstance(failures[0], RefusedError):
            return None, calls  # the codes are known, and only DivisionMoveDate is missing
        first = failures[0]
        too_few = None
        if isinstance(first, LimitError):
            too_few = self._connection.too_few_calls(calls, first.resumes_at)
        raise too_few or first

    async def _starts(self) -> AsyncIterator[int]:
        """Divisions through which to try to read the list; a mistyped code does not work (API 5)."""
        named = await self._leased(self._options.divisions)
        for start in named[: DIVISION_TRIES - 1]:
            yield start
        current = await self._current()
        if current not in named[: DIVISION_TRIES - 1]:
            yield current
        for start in () if named else self._known():
            if start != current:
                yield start

    async def _current(self) -> int:
        entity = load_catalogue().entities["me"]
        schema = PageSchema(entity, entity.feeds["regular"], ["UserID", "CurrentDivision"])
        call = Call(None, "current/Me", "user (current/Me)", before_call=self._before_call)
        table = await read_all(self._connection.client, call, schema)
        codes = table.column("division").to_pylist()
        if not codes or codes[0] is None:
            raise ConfigurationError(
                "Exact Online returned no current division; choose one with --divisions"
            )
        return int(codes[0])

    # -- choosing from it ----------------------------------------------------------------------

    def _choose(self, table: pa.Table | None) -> list[Division]:
        seen = {} if table is None else {d.code: d for d in _divisions_of(table)}
        wanted = self._options.divisions
        if not wanted and not seen:
            raise ConfigurationError(
                "the app cannot see any division; check its scope at Exact Online"
            )
        if self._options.companies.needs_names:
            wanted = tuple(self._options.companies.choose({d.code: d.name for d in seen.values()}))
        if not wanted:
            return list(seen.values())
        if table is not None and (missing := [code for code in wanted if code not in seen]):
            raise ConfigurationError(
                f"divisions: {', '.join(map(str, missing))} cannot be seen by this app and user; "
                "see `exact-source divisions`"
            )
        return [seen.get(code) or self._unlisted(code) for code in wanted]

    def _unlisted(self, code: int) -> Division:
        blocked = STATUS_UNKNOWN if code in self._refused_as_blocked else 0
        return Division(code, blocked=blocked, moved=None)

    async def _leased(self, codes: Sequence[int]) -> Sequence[int]:
        """The divisions, first those that this worker has leased; all leases are requested at once."""
        leases = self._leases
        if leases is None or not codes:
            return codes
        await asyncio.to_thread(leases.take_divisions, codes)
        return sorted(codes, key=lambda code: not leases.holds(division_item(code)))


def _divisions_of(table: pa.Table) -> Iterable[Division]:
    columns = [
        table.column(name).to_pylist() for name in ("code", "description", "blocking_status")
    ]
    moved = table.column("division_move_date").cast(pa.int64()).to_pylist()
    for code, name, blocked, at in zip(*columns, moved, strict=True):
        yield Division(int(code), clean_text(name or ""), int(blocked or 0), (at or 0) // 1000)
