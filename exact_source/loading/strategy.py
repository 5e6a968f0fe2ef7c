"""Chooses how rows are written to a destination. A destination that supports none of these is refused.

* delete-insert: SQL databases. dlt deletes the keys of a load and inserts its rows.
* upsert: Delta and Iceberg tables. A load may contain each key only once, so its rows are held and reduced
  to the last state of each key. Delta deletes rows that are marked in the load; Iceberg keeps them, marked.
* log: rows and deletions are appended, and the last entry of a key is its state. Only on request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal
from weakref import WeakKeyDictionary

import dlt
import pyarrow as pa
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.schema.typing import TUpsertStrategyDict

from ..duckdb_extensions import extension_command, missing_extensions
from ..engine import rows
from ..errors import ConfigurationError
from .entity_resource import EntityResource
from .history import KEY, VERSION, last_states

UPSERT: TUpsertStrategyDict = {"disposition": "merge", "strategy": "upsert"}
DELTA, ICEBERG = "delta", "iceberg"
PACKAGES = {DELTA: "deltalake", ICEBERG: "pyiceberg"}  # the names of dlt's extras too
EXTENSIONS = {DELTA: ("delta",), ICEBERG: ("avro", "iceberg")}  # of DuckDB, which reads the files
_CAPABILITIES: WeakKeyDictionary[Any, DestinationCapabilitiesContext] = WeakKeyDictionary()
Kind = Literal["delete-insert", "upsert", "log"]


@dataclass(frozen=True)
class Strategy:
    """How the rows of one entity are written to the destination.

    Attributes:
        kind: ``delete-insert``, ``upsert`` or ``log``.
        deletes_marked: Whether a loaded row with ``_deleted_at`` deletes the stored row.
    """

    kind: Kind = "delete-insert"
    deletes_marked: bool = True

    @property
    def takes_keys_once(self) -> bool:
        """Whether a load may contain each key only once."""
        return self.kind in {"upsert", "log"}


def choose_strategy(
    pipeline: dlt.Pipeline, resource: EntityResource, *, deletes: str, change_log: bool
) -> Strategy:
    """Choose the strategy for an entity, and set the write disposition of its resource.

    Args:
        pipeline: Pipeline with the destination, whose capabilities decide.
        resource: The resource of the entity, with any hints that the user applied.
        deletes: ``hard``, ``soft`` or ``ignore``.
        change_log: Whether the user requested a log of changes.

    Raises:
        ConfigurationError: If rows would be lost or duplicated.
    """
    hints: Any = resource._hints or {}  # noqa: SLF001 (dlt has no other way to ask)
    chosen, table_format = hints.get("write_disposition"), hints.get("table_format")
    disposition = chosen.get("disposition") if isinstance(chosen, dict) else chosen
    if disposition == "replace":
        raise ConfigurationError(
            f"{resource.name}: with write_disposition='replace' each load would delete the rows of the "
            "round before; use full_refresh=True, which reads all rows"
        )
    if change_log or disposition == "append":
        resource.apply_hints(write_disposition="append")
        return Strategy("log", deletes_marked=False)
    known = merge_strategies(pipeline, table_format)
    if "delete-insert" in known:
        return _checked(resource, chosen)
    return _of_files(pipeline, resource, known, deletes)


def _checked(resource: EntityResource, chosen: Any) -> Strategy:
    if isinstance(chosen, dict) and chosen.get("strategy", "delete-insert") != "delete-insert":
        raise ConfigurationError(
            f"{resource.name}: the merge strategy is {chosen['strategy']}, which would insert deletions of "
            "unknown rows; leave it to the source"
        )
    return Strategy()


def _of_files(
    pipeline: dlt.Pipeline, resource: EntityResource, known: Sequence[str], deletes: str
) -> Strategy:
    table_format = (resource._hints or {}).get("table_format")  # noqa: SLF001
    kind = str(pipeline.destination.destination_type).rpartition(".")[2]
    if kind != "filesystem":  # even if dlt supports upsert there: vector databases delete nothing
        raise ConfigurationError(
            f"destination {pipeline.destination.destination_name}: dlt cannot merge rows there, so changed "
            "and deleted rows would be stored twice; use another destination, or for a log of all changes "
            "set sources.exact_online.change_log to true in .dlt/config.toml or as an argument"
        )
    if table_format not in PACKAGES or "upsert" not in known:
        raise ConfigurationError(
            "filesystem: files are only appended to, so changed and deleted rows would be stored twice; "
            "set sources.exact_online.table_format to delta or iceberg, or for a log of all changes "
            "sources.exact_online.change_log to true, in .dlt/config.toml or as an argument"
        )
    if table_format == ICEBERG and deletes == "hard":
        raise ConfigurationError(
            f"{kind}: dlt deletes no rows of Iceberg tables; set deletes to soft, which marks them in "
            "_deleted_at, or table_format to delta"
        )
    need_table_format(table_format)
    resource.apply_hints(write_disposition=UPSERT)
    return Strategy("upsert", deletes_marked=deletes == "hard")


def need_table_format(table_format: str) -> None:
    """Require what writes and reads the files of a table format.

    Raises:
        ConfigurationError: If a package is missing, or an extension of DuckDB that cannot be downloaded.
    """
    if find_spec(PACKAGES[table_format]) is None:
        raise ConfigurationError(
            f"table_format is {table_format}, which needs the package {PACKAGES[table_format]}; "
            f'install it with: pip install "dlt[{PACKAGES[table_format]}]"'
        )
    if missing := missing_extensions(EXTENSIONS[table_format]):
        raise ConfigurationError(
            f"table_format is {table_format}, which needs extensions of DuckDB that cannot be downloaded: "
            f"{', '.join(missing)}; run once with internet access: {extension_command(*missing)}"
        )


def merge_strategies(pipeline: dlt.Pipeline, table_format: str | None = None) -> Sequence[str]:
    """Merge strategies that a destination supports for a table format."""
    caps = _capabilities(pipeline.destination)
    found: Any = caps.supported_merge_strategies or []
    selector: Any = caps.merge_strategies_selector
    if selector is not None:
        table: Any = {"name": "", "columns": {}}
        if table_format:
            table["table_format"] = table_format
        found = selector(found, table_schema=table)
    return list(found)


def _capabilities(destination: Any) -> DestinationCapabilitiesContext:
    """Capabilities of a destination; cached, because dlt resolves all of its settings for them."""
    if destination not in _CAPABILITIES:
        _CAPABILITIES[destination] = destination.capabilities()
    return _CAPABILITIES[destination]


class Held:
    """The rows of one load, held until its end and reduced to the last state of each key.

    ``Rounds.must_stop`` ends a round before there are too many.

    Args:
        keys: Key columns.
        by: Column whose highest value marks the last state.
    """

    def __init__(self, keys: Sequence[str], by: str) -> None:
        self._keys = keys
        self._by = by
        self._tables: list[pa.Table] = []

    def hold(self, table: pa.Table) -> None:
        """Add rows and deletions."""
        self._tables.append(table)

    def take(self) -> pa.Table | None:
        """The last state of each key; ``None`` if there are no rows."""
        if not self._tables:
            return None
        found = last_states(self._tables, self._keys, self._by).drop_columns([KEY, VERSION])
        self._tables = []
        return rows.with_required(found, set(self._keys))
