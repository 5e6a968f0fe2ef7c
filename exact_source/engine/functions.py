"""Function endpoints: one scan over all values of their parameters.

``read/logistics/StockPosition`` is called once for each item. The values come from the stored rows of the
parent, from the settings, or from defaults. The scan treats the values as consecutive pages of one list, so
it can stop after any page and continue there later.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from ..catalogue import Entity, snake
from ..catalogue.feeds import Plan
from ..catalogue.parameters import (
    Values,
    combinations,
    fixed_query,
    parents_of,
    sends_parameters,
    sources_of,
)
from ..clock import dutch_day
from ..errors import PARENT
from ..odata.columns import KEPT
from ..odata.guard import NO_GUARD, Guard
from ..odata.query import build_url, format_literal, skiptoken
from . import rows
from .cursors import Cursor, Scan
from .result import Status, StreamResult
from .run import Run
from .shape import Shape

HOUR_S = 3600


@dataclass(frozen=True)
class FunctionShape(Shape):
    """Rows of a function: its parameters are columns too, and part of the key."""

    @property
    def parameters(self) -> dict[str, pa.Field]:
        """Parameter -> column with the value with which a row was requested."""
        asked = self.plan.full.parameters
        return {
            name: pa.field(snake(name), KEPT[type_code]) for name, (type_code, _) in asked.items()
        }

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
    entity: Entity,
    plan: Plan,
    *,
    utc_fields: Sequence[str] = (),
    raw_codes: bool = False,
    guard: Guard = NO_GUARD,
) -> Shape:
    """The shape of an entity read by a plan."""
    kind = FunctionShape if sends_parameters(plan.full) else Shape
    return kind.of(entity, plan, utc_fields=utc_fields, raw_codes=raw_codes, guard=guard)


class Parents:
    """The parents of a function: entities whose rows give the parameter values."""

    def __init__(self, run: Run, shape: FunctionShape) -> None:
        self._run = run
        sources = sources_of(shape.entity, shape.plan.full)
        self._names = parents_of(sources, run.options.parameters)

    def are_loaded(self, result: StreamResult) -> bool:
        """Whether the rows of all parents are loaded; if not, the result says why."""
        return all(self._is_known(parent, result) for parent in self._names)

    def _is_known(self, parent: str, result: StreamResult) -> bool:
        run = self._run
        if parent in run.selection.names and run.rounds.number:
            if not run.rounds.is_settled(parent, result.division):
                return _refrain(result, "incomplete", f"waits for {parent}", "")
            found = run.log.latest(parent, result.division)
            if found is not None and found.status in {"complete", "waiting"}:
                why = f"waits for {parent}: {found.error}"
                at = found.resumes_at
                return found.status == "complete" or _refrain(
                    result, "waiting", why, found.code, at
                )
        return self._is_stored(parent, result)

    def _is_stored(self, parent: str, result: StreamResult) -> bool:
        run, destination = self._run, self._run.destination
        if destination.has_rows(parent, result.division):
            return True
        found = run.log.latest(parent, result.division)
        if found is None and parent not in run.selection.names:
            if destination.has_column(parent, "division"):
                return True  # it was loaded, and the company has none
            return _refrain(
                result, "failed", f"its parent {parent} was never loaded: load it as well"
            )
        if run.rounds.number or (found is not None and found.is_excluded):
            return _refrain(result, "skipped", f"its parent {parent} was not loaded")
        why = f"its parent {parent} was not loaded yet: run again when it is"
        return _refrain(result, "incomplete", why)


def was_refused_as_empty(run: Run, shape: Shape, division: int, cursor: Cursor) -> bool:
    """Whether the last reply was the refusal that means "no rows", less than an hour ago.

    Exact counts it as an error (API 2.3), so the call is not repeated for an hour. The cursor tells it from
    other errors, which set ``refused_at`` or ``dropped``.
    """
    feed, now = shape.plan.full, run.clock.now()
    errors = run.limits.errors(now).get(f"{division} {feed.path}", [])
    is_recent = cursor.read_at > run.now() - HOUR_S and bool(errors)
    return feed.empty_refusal != "" and is_recent and not (cursor.refused_at or cursor.dropped)


def _refrain(
    result: StreamResult,
    status: Status,
    reason: str,
    code: str = PARENT,
    resumes_at: float | None = None,
) -> bool:
    result.end(status, reason, code, resumes_at=resumes_at)
    return False


class FunctionUrls:
    """The pages of a function, for one combination of parameter values after another.

    Args:
        run: Objects that all streams share.
        shape: Shape of the rows.
        division: Code.
        result: Gets a note if there are no parameter values.
    """

    def __init__(self, run: Run, shape: FunctionShape, division: int, result: StreamResult) -> None:
        self._run = run
        self._shape = shape
        self._division = division
        self._result = result
        self._asked: list[Values] = []
        self._place = 0  # of the requested values
        self._numbered = 0  # rows of these values so far

    # -- where the pages are -------------------------------------------------------------------

    @property
    def reads_ahead(self) -> bool:
        """No: each page is completed with the values with which it was requested."""
        return False

    def begin(self, scan: Scan) -> str | None:
        """The page to continue with; ``None`` if there are no values."""
        # A scan that continues tomorrow keeps the dates of its first day.
        self._asked = self._values(dutch_day(scan.started_at))
        if scan.next is not None and self._find_place(scan.next, scan.rows):
            return scan.next
        return self.first(self._shape, scan) if self._place < len(self._asked) else None

    def first(self, shape: Shape, scan: Scan) -> str:  # noqa: ARG002
        """The first page of the current values."""
        query = fixed_query(shape.plan.full) | self._literals(self._asked[self._place])
        if shape.full.columns:
            query["$select"] = ",".join(shape.full.columns)
        return build_url(shape.plan.full.path, self._division, query)

    def restart(self) -> None:
        """Go back to the first values."""
        self._place = self._numbered = 0

    def following(self, shape: Shape, link: str | None) -> str | None:
        """Exact's link, or the first page of the next values."""
        if link is not None or self._place >= len(self._asked):
            return link
        self._place += 1
        self._numbered = 0
        if self._place >= len(self._asked):
            return None
        return self.first(shape, Scan(since=None, started_at=0.0))

    def _values(self, day: date) -> list[Values]:
        sources = sources_of(self._shape.entity, self._shape.plan.full)

        def rows_of(parent: str, columns: list[str]) -> list[Values]:
            return self._run.destination.distinct(parent, self._division, columns)

        found = combinations(sources, self._run.options.parameters, rows_of, day)
        if not found:
            unset = [s.setting for s in sources.values() if s.parent is None and not s.default(day)]
            reason = f"set parameters.{unset[0]}" if unset else "its parents have no rows"
            self._result.note(f"no value to ask with: {reason}")
        return sorted(found, key=self._order)

    def _literals(self, values: Values) -> dict[str, str]:
        type_codes = self._shape.plan.full.parameters
        return {
            name: format_literal(type_code, value.isoformat() if type_code == "t" else value)
            for (name, (type_code, _)), value in zip(type_codes.items(), values, strict=True)
        }

    def _order(self, values: Values) -> list[str]:
        return [text.lower() for text in self._literals(values).values()]

    def _find_place(self, url: str, rows_read: int) -> bool:
        """Whether a stored link belongs to values that still exist; if not, the next values are chosen."""
        query = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
        here = [query.get(name, "").lower() for name in self._shape.parameters]
        self._place = bisect_left(self._asked, here, key=self._order)
        found = self._place < len(self._asked) and self._order(self._asked[self._place]) == here
        if not found or skiptoken(url) is None:
            return False
        self._numbered = rows_read  # a number above all assigned ones
        return True

    # -- rows ----------------------------------------------------------------------------------

    def complete(self, table: pa.Table) -> pa.Table:
        """The rows with the request parameters as columns, and numbered if they have no key."""
        if self._place < len(self._asked):
            values = self._asked[self._place]
            for field, value in zip(self._shape.parameters.values(), values, strict=True):
                table = with_value(table, field, value)
        if rows.ROW.name in self._shape.keys:
            table = rows.number(table, self._numbered)
            self._numbered += table.num_rows
        return table


def with_value(table: pa.Table, field: pa.Field, value: Any) -> pa.Table:
    """The rows with a column of one value; an existing column of that name stays as it is."""
    scalar = pa.scalar(value, field.type)
    if field.name not in table.column_names:
        return table.append_column(field, pa.repeat(scalar, table.num_rows))
    place = table.column_names.index(field.name)
    return table.set_column(place, field, pc.fill_null(table.column(place), scalar))
