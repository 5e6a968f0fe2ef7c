"""The schemas of one entity's rows between a page and the destination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import pyarrow as pa

from ..catalogue import Entity
from ..catalogue.feeds import Plan
from ..odata.guard import NO_GUARD, Guard
from ..odata.page import PageSchema
from ..odata.query import fit_select
from . import rows


@dataclass(frozen=True)
class Shape:
    """The schemas of one entity's rows.

    Attributes:
        entity: Entity of the rows.
        plan: Feeds that are read.
        full: Schema of the feed that reads all rows.
        increment: Schema of the feed that reads changes; ``None`` if there is none.
        withdrawn: Fields that are no longer requested.
    """

    entity: Entity
    plan: Plan
    full: PageSchema
    increment: PageSchema | None
    withdrawn: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        entity: Entity,
        plan: Plan,
        *,
        utc_fields: Sequence[str] = (),
        raw_codes: bool = False,
        guard: Guard = NO_GUARD,
    ) -> Shape:
        """The shape of an entity read by a plan, without the columns that a guard leaves out."""
        wanted = [
            f for f in plan.fields if entity.columns[f].type_code != "x" and f not in guard.excluded
        ]
        fields = fit_select(wanted, {*entity.key, "Division", "Timestamp", "Modified"})
        full = PageSchema(
            entity, plan.full, fields, utc_fields=utc_fields, raw_codes=raw_codes, guard=guard
        )
        if plan.increment is None or plan.increment is plan.full:
            return cls(entity, plan, full, full if plan.increment else None)
        increment = full.of_feed(plan.increment, fields)
        return cls(entity, plan, full, increment)

    def without(self, fields: Iterable[str]) -> Self:
        """The shape without some of the fields."""
        withdrawn = frozenset(fields)
        kept = [f for f in self.full.columns if f not in withdrawn]
        return replace(self._rebuilt(self.entity, kept), withdrawn=self.withdrawn | withdrawn)

    def with_type_codes(self, type_codes: Mapping[str, str]) -> Self:
        """The shape with other types: field -> type code."""
        changed = {f: replace(self.entity.columns[f], type_code=x) for f, x in type_codes.items()}
        entity = replace(self.entity, columns={**self.entity.columns, **changed})
        return self._rebuilt(entity, list(self.full.columns))

    def _rebuilt(self, entity: Entity, fields: Sequence[str]) -> Self:
        plan = self.plan
        full = self.full.of_feed(plan.full, fields, entity)
        increment = full if self.increment else None
        if plan.increment is not None and plan.increment is not plan.full:
            increment = full.of_feed(plan.increment, fields)
        return replace(self, entity=entity, full=full, increment=increment)

    @property
    def guard(self) -> Guard:
        """Columns that are left out or hashed."""
        return self.full.guard

    @property
    def content(self) -> list[str]:
        """Columns that are read, and how they are guarded; stored rows lack a column that is added later."""
        names = {f: column.name for f, column in self.entity.columns.items()}
        hashed = {names[f] for f in self.guard.hashed if f in names}
        plain = [name for name in self.full.arrow.names if name not in hashed]
        return [*plain, *self.guard.marks(names.items())]

    @cached_property
    def needed(self) -> set[str]:
        """Fields that are required to read the rows."""
        return {*self.entity.key, "Division"} | ({self.plan.column} if self.plan.column else set())

    @property
    def too_long(self) -> list[str]:
        """Fields that do not fit into a URL (API 2.4)."""
        type_codes = {f: self.entity.columns[f].type_code for f in self.plan.fields}
        read = {*self.full.columns, *self.withdrawn, *self.guard.excluded}
        return [f for f in self.plan.fields if type_codes[f] != "x" and f not in read]

    @cached_property
    def version(self) -> str | None:
        """Column that orders the states of a row."""
        if self.plan.column and self.plan.column in self.full.columns:
            return self.entity.columns[self.plan.column].name
        return None

    @cached_property
    def keys(self) -> list[str]:
        """Key columns beside ``division``."""
        columns = self.full.columns
        return [columns[f].name for f in self.full.key] or (
            [] if self.entity.key == ("Division",) else [rows.ROW.name]
        )

    @cached_property
    def arrow(self) -> pa.Schema:
        """Schema of the rows that are loaded."""
        row = [rows.ROW] if self.keys == [rows.ROW.name] else []
        return pa.schema([*self.full.arrow, rows.SYNCED_AT, rows.DELETED_AT, *row])
