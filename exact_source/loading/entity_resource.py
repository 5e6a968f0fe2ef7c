"""The dlt resource of an entity: adaptations by users work, or are refused with an alternative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import dlt
import pyarrow as pa
from dlt.extract.items_transform import FilterItem, MapItem, YieldMapItem
from dlt.extract.resource import DltResource

from ..errors import ConfigurationError

Row = dict[str, Any]


class EntityResource(DltResource):
    """A resource whose key and cursor are Exact's."""

    def apply_hints(self, *args: Any, **hints: Any) -> Self:
        """Adapt the resource, as dlt does.

        Raises:
            ConfigurationError: If the hints name another key, or a cursor of dlt's.
        """
        if hints.get("incremental") is not None:
            raise ConfigurationError(
                f"{self.name}: dlt.sources.incremental is not needed, because the source keeps a cursor of "
                "its own for each company; exact_online(start_date=..., end_date=...) reads a window"
            )
        for name in ("primary_key", "merge_key"):
            self._refuse_other_key(name, hints.get(name))
        return super().apply_hints(*args, **hints)

    def _refuse_other_key(self, name: str, chosen: Any) -> None:
        keys: Any = self._hints.get("primary_key") if self._hints else None
        if chosen is None or not keys or (not chosen and name == "merge_key"):
            return
        refuse_other_key(self.name, name, chosen, set(keys))

    def check_keys(self, keys: set[str]) -> None:
        """Make sure that rows are still merged by their own key after a script's adaptations.

        Raises:
            ConfigurationError: If they are not.
        """
        hints: Any = self._hints or {}
        for name in ("primary_key", "merge_key"):
            if hints.get(name):
                refuse_other_key(self.name, name, hints[name], keys)

    @property
    def entity(self) -> str:
        """Name of the entity, which a script cannot change."""
        readers = (getattr(getattr(step, "_f", None), "reader", None) for step in self._pipe.steps)
        return next((reader.name for reader in readers if reader is not None), self.name)

    @property
    def pages(self) -> int | None:
        """Number of pages that ``add_limit`` allows; ``None`` if it does not count pages."""
        counts = self.limit is not None and not self.limit.count_rows and self.limit.max_items >= 0
        return self.limit.max_items if self.limit is not None and counts else None

    @property
    def is_adapted(self) -> bool:
        """Whether ``add_map``, ``add_filter`` or ``add_yield_map`` may change or drop rows."""
        steps = [s for s in self._pipe.steps if isinstance(s, FilterItem | MapItem | YieldMapItem)]
        return len(steps) > 1  # the first declares the table


def refuse_other_key(resource: str, hint: str, chosen: Any, keys: set[str]) -> None:
    """Make sure that rows are merged by their own key: by another one, rows would replace each other.

    Args:
        resource: Name of the resource.
        hint: ``primary_key`` or ``merge_key``.
        chosen: The value of the hint.
        keys: The key columns of the rows.

    Raises:
        ConfigurationError: If it is another key.
    """
    if callable(chosen):
        return
    found = {chosen} if isinstance(chosen, str) else set(chosen)
    if found != keys:
        raise ConfigurationError(
            f"{resource}: {hint} is {', '.join(sorted(found))}, but rows are told apart by "
            f"{', '.join(sorted(keys))}; leave it to the source"
        )


def by_row(change: Callable[[Row], Row | None]) -> Callable[[pa.Table], pa.Table]:
    """Adapt a function of one row to ``add_map``, which passes whole Arrow tables.

    ``source.accounts.add_map(by_row(function))`` calls it with each row as a dictionary. Functions on
    whole tables are faster.

    Args:
        change: Returns the row, changed or not, or ``None`` to leave it out.
    """

    def changed(table: pa.Table) -> pa.Table:
        kept = [row for row in map(change, table.to_pylist()) if row is not None]
        names = dict.fromkeys([*table.column_names, *(name for row in kept for name in row)])
        held = {field.name: field.type for field in table.schema}
        columns = {n: pa.array([row.get(n) for row in kept], held.get(n)) for n in names}
        schema = pa.schema([_field(table.schema, n, columns[n].type) for n in names])
        return pa.Table.from_arrays(list(columns.values()), schema=schema)

    return changed


def _field(schema: pa.Schema, name: str, kind: pa.DataType) -> pa.Field:
    return schema.field(name) if name in schema.names else pa.field(name, kind)


def table_names() -> dict[str, str]:
    """Entity -> name of its table, for the resources that are read now.

    Raises:
        ConfigurationError: If an entity is read twice: both copies would share a cursor.
    """
    names: dict[str, str] = {}
    for resource in dlt.current.source().resources.selected.values():
        if isinstance(resource, EntityResource):
            if resource.entity in names:
                raise ConfigurationError(
                    f"{resource.entity} is read by two resources of one source; make a source for each, "
                    "and run them in two pipelines"
                )
            table: Any = resource.table_name
            names[resource.entity] = table if isinstance(table, str) else resource.entity
    return names
