"""Function endpoints: one chain of pages over all values of their parameters.

``read/logistics/StockPosition`` is asked once for each item. The values come from what the
destination holds of the parent, from the settings, or from defaults; the stream reads value after
value as if they were pages of one list, so that it can stop after any page and go on there later.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from ..catalogue import Entity, snake
from ..catalogue.feeds import Plan
from ..catalogue.parameters import Values, combinations, parents_of, sources_of
from ..errors import PARENT
from ..odata.columns import KEPT
from ..odata.page import Page
from ..odata.query import build_url, format_literal, skiptoken
from . import rows
from .page_reader import Arrived
from .result import Status, StreamResult
from .shape import Shape
from .stream import Stream

_DUTCH = ZoneInfo("Europe/Amsterdam")


@dataclass(frozen=True)
class FunctionShape(Shape):
    """Rows of a function: its parameters are columns too, and part of the key."""

    @property
    def parameters(self) -> dict[str, pa.Field]:
        """Parameter -> the column that tells which value a row was asked with."""
        asked = self.plan.full.parameters
        return {name: pa.field(snake(name), KEPT[letter]) for name, (letter, _) in asked.items()}

    @property
    def keys(self) -> list[str]:
        """Key columns beside ``division``."""
        asked = [field.name for field in self.parameters.values()]
        return list(dict.fromkeys([*asked, *super().keys]))

    @property
    def arrow(self) -> pa.Schema:
        """Schema of the rows that are loaded."""
        schema = super().arrow
        more = [f for f in self.parameters.values() if f.name not in schema.names]
        row = [rows.ROW] if rows.ROW.name in self.keys else []
        return pa.schema([*schema, *more, *row])


def shape_of(
    entity: Entity, plan: Plan, *, utc_instants: bool = False, raw_codes: bool = False
) -> Shape:
    """The shape of an entity read by a plan."""
    kind = FunctionShape if plan.full.parameters else Shape
    return kind.of(entity, plan, utc_instants=utc_instants, raw_codes=raw_codes)


class FunctionStream(Stream):
    """Reads one function of one division for all values of its parameters."""

    shape: FunctionShape
    _asked: list[Values] = []  # noqa: RUF012 (replaced, never changed)
    _place = 0
    _numbered = 0

    # -- before the first page -----------------------------------------------------------------

    def _may_start(self) -> bool:
        return super()._may_start() and all(self._is_known(p) for p in self._parents())

    def _parents(self) -> list[str]:
        sources = sources_of(self.entity, self.shape.plan.full)
        return parents_of(sources, self.run.options.parameters)

    def _is_known(self, parent: str) -> bool:
        """Whether the parent's rows are loaded; if not, the stream ends here."""
        if parent in self.run.selection.names and self.run.rounds.number:
            if not self.run.rounds.is_settled(parent, self.division.code):
                return self._refrain("incomplete", f"waits for {parent}", "")
            result = self._result_of(parent)
            if result is not None and result.status in {"complete", "waiting"}:
                self.result.resumes_at = result.resumes_at
                done = result.status == "complete"
                why = f"waits for {parent}: {result.error}"
                return done or self._refrain("waiting", why, result.code)
        return self._is_stored(parent)

    def _is_stored(self, parent: str) -> bool:
        if self.stored.has_rows(parent, self.division.code):
            return True
        if self._result_of(parent) is None and parent not in self.run.selection.names:
            if self.stored.has_column(parent, "division"):
                return True  # it was loaded, and the company has none
            return self._refrain("failed", f"its parent {parent} was never loaded: load it as well")
        if self.run.rounds.number:
            return self._refrain("skipped", f"its parent {parent} was not loaded")
        return self._refrain(
            "incomplete", f"its parent {parent} was not loaded yet: run again when it is"
        )

    def _result_of(self, parent: str) -> StreamResult | None:
        wanted = (parent, self.division.code)
        found = (r for r in reversed(self.run.results) if (r.entity, r.division) == wanted)
        return next(found, None)

    def _refrain(self, status: Status, reason: str, code: str = PARENT) -> bool:
        self._end(status, reason, code)
        return False

    # -- the chain of values -------------------------------------------------------------------

    async def _scan(self) -> bool:
        scan = self.cursor.scan
        if scan is None:
            raise RuntimeError("a chain without a scan")
        self.reader.together = False  # each page is completed with what it was asked with
        # Days of a chain that goes on tomorrow are the days of its beginning.
        self._asked = self._values(datetime.fromtimestamp(scan.started_at, _DUTCH).date())
        if scan.next is not None:
            self._find_place(scan.next)
        if self._place >= len(self._asked):
            self._look_for_unmet()
            await self._take(Page(self._empty(), None, None, ()), self.run.clock.now())
            return self.result.status == "running"
        return await super()._scan()

    def _values(self, day: date) -> list[Values]:
        sources = sources_of(self.entity, self.shape.plan.full)

        def rows_of(parent: str, columns: list[str]) -> list[Values]:
            return self.stored.distinct(parent, self.division.code, columns)

        found = combinations(sources, self.run.options.parameters, rows_of, day)
        if not found:
            unset = [s.setting for s in sources.values() if s.parent is None and not s.default(day)]
            reason = f"set parameters.{unset[0]}" if unset else "its parents have no rows"
            self.result.notes.append(f"no value to ask with: {reason}")
        return sorted(found, key=self._order)

    def _literals(self, values: Values) -> dict[str, str]:
        letters = self.shape.plan.full.parameters
        return {
            name: format_literal(letter, value.isoformat() if letter == "t" else value)
            for (name, (letter, _)), value in zip(letters.items(), values, strict=True)
        }

    def _order(self, values: Values) -> list[str]:
        return [text.lower() for text in self._literals(values).values()]

    def _find_place(self, url: str) -> None:
        """Go on at the value of a stored link, or at the next one if that value is gone."""
        query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
        here = [query.get(name, "").lower() for name in self.shape.parameters]
        self._place = bisect_left(self._asked, here, key=self._order)
        scan = self.cursor.scan
        found = self._place < len(self._asked) and self._order(self._asked[self._place]) == here
        if found and scan is not None and skiptoken(url) is not None:
            self._numbered = scan.rows  # a number above those that were given
        elif self._place < len(self._asked):
            self._go_to(self._first_url())

    def _leave_out(self, gone: Sequence[str]) -> None:
        super()._leave_out(gone)
        if gone and self._place < len(self._asked):
            self._go_to(self._first_url())

    def _go_to(self, url: str) -> None:
        if self.cursor.scan is not None:
            self.cursor = replace(self.cursor, scan=replace(self.cursor.scan, next=url))

    async def _restart_scan(self) -> None:
        self._place = self._numbered = 0
        await super()._restart_scan()

    def _url(self) -> str:
        scan = self.cursor.scan
        return scan.next if scan is not None and scan.next is not None else self._first_url()

    def _first_url(self) -> str:
        _, schema = self._feed()
        query = self._literals(self._asked[self._place])
        if schema.columns:
            query["$select"] = ",".join(schema.columns)
        return build_url(self.shape.plan.full.path, self.division.code, query)

    def _checked_link(self, page: Page) -> str | None:
        link = super()._checked_link(page)
        if link is not None or self._place >= len(self._asked):
            return link
        self._place += 1
        self._numbered = 0
        return self._first_url() if self._place < len(self._asked) else None

    # -- rows ----------------------------------------------------------------------------------

    async def _pages(self, url: str) -> list[Arrived]:
        arrived = await super()._pages(url)
        for one in arrived:
            one.page.table = self._completed(one.page.table)
        return arrived

    def _completed(self, table: pa.Table) -> pa.Table:
        """The rows with what they were asked with, and numbered if they have no key."""
        values = self._asked[self._place]
        for field, value in zip(self.shape.parameters.values(), values, strict=True):
            table = with_value(table, field, value)
        if rows.ROW.name in self.shape.keys:
            table = rows.number(table, self._numbered)
            self._numbered += table.num_rows
        return table

    def _empty(self) -> pa.Table:
        marks = {rows.SYNCED_AT.name, rows.DELETED_AT.name}
        return pa.schema(f for f in self.shape.arrow if f.name not in marks).empty_table()


def with_value(table: pa.Table, field: pa.Field, value: Any) -> pa.Table:
    """The rows with a column of one value; a column of that name keeps what it says itself."""
    scalar = pa.scalar(value, field.type)
    if field.name not in table.column_names:
        return table.append_column(field, pa.repeat(scalar, table.num_rows))
    place = table.column_names.index(field.name)
    return table.set_column(place, field, pc.fill_null(table.column(place), scalar))


__all__ = ["FunctionShape", "FunctionStream", "shape_of"]
