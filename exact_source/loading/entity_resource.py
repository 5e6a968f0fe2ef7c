"""The dlt resource of an entity; adaptations by users work, or are refused with an alternative."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, Self

import dlt
import pyarrow as pa
from dlt.extract.items_transform import FilterItem, MapItem, YieldMapItem
from dlt.extract.resource import DltResource
from dlt.extract.utils import ensure_table_schema_columns

from ..errors import ConfigurationError

Row = dict[str, Any]
_APPLY_HINTS = signature(DltResource.apply_hints)


class EntityResource(DltResource):
    """A resource whose key and cursor are Exact's."""

    def apply_hints(self, *args: Any, **hints: Any) -> Self:
        """Adapt the resource, as dlt does.

        Raises:
            ConfigurationError: If the hints name another key, or a dlt ``incremental``.
        """
        given = _APPLY_HINTS.bind(self, *args, **hints).arguments
        if given.get("incremental") is not None:
            raise ConfigurationError(
                f"{self.name}: dlt.sources.incremental is not needed, because the source keeps a cursor of "
                "its own for each company; exact_online(start_date=..., end_date=...) reads a window"
            )
        own: Any = self._hints.get("primary_key") if self._hints else None
        if own:
            self._check_keys(given, set(own))
        return super().apply_hints(*args, **hints)

    def check_keys(self, keys: set[str]) -> None:
        """Make sure that rows are still merged by Exact's key after a user's adaptations.

        Raises:
            ConfigurationError: If they are not.
        """
        self._check_keys(self._hints or {}, keys)

    def _check_keys(self, hints: Mapping[str, Any], keys: set[str]) -> None:
        for name in ("primary_key", "merge_key"):
            chosen = hints.get(name)
            if chosen or (chosen is not None and name == "primary_key"):
                refuse_other_key(self.name, name, chosen, keys)
            if marked := _marked_columns(hints.get("columns"), name):
                refuse_other_key(self.name, name, marked, keys)

    @property
    def entity(self) -> str:
        """Name of the entity, which the user cannot change."""
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


def _marked_columns(columns: Any, hint: str) -> set[str]:
    """Columns that column hints mark as part of the key."""
    if columns is None or (callable(columns) and not isinstance(columns, type)):
        return set()
    found: Any = ensure_table_schema_columns(columns)
    return {name for name, column in found.items() if column.get(hint)}


def refuse_other_key(resource: str, hint: str, chosen: Any, keys: set[str]) -> None:
    """Make sure that rows are merged by Exact's key; by another key, rows would replace each other.

    Args:
        resource: Name of the resource.
        hint: ``primary_key`` or ``merge_key``.
        chosen: Value of the hint.
        keys: The key columns of the rows.

    Raises:
        ConfigurationError: If it is another key.
    """
    if callable(chosen):
        chosen = "a function"
    found = {chosen} if isinstance(chosen, str) else set(chosen)
    if found != keys:
        raise ConfigurationError(
            f"{resource}: {hint} is {', '.join(sorted(found)) or 'empty'}, but rows are told apart by "
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
        ConfigurationError: If an entity is read twice, because both copies would share a cursor, or if two
            entities would share a table.
    """
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for resource in dlt.current.source().resources.selected.values():
        if isinstance(resource, EntityResource):
            if resource.entity in names:
                raise ConfigurationError(
                    f"{resource.entity} is read by two resources of one source; make a source for each, "
                    "and run them in two pipelines"
                )
            table: Any = resource.table_name
            name = names[resource.entity] = table if isinstance(table, str) else resource.entity
            if owners.setdefault(name, resource.entity) != resource.entity:
                raise ConfigurationError(
                    f"{resource.entity} and {owners[name]} would be loaded into one table, {name}; name a "
                    "table for each resource by apply_hints(table_name=...)"
                )
    return names
