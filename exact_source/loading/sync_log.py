"""The tables of the source itself, in the same load as the data: ``_exact_syncs`` and ``_exact_rejected``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.schema.typing import TColumnSchema

from .._version import __version__
from ..engine import rows
from ..engine.rejected_rows import Rejected
from ..engine.result import StreamResult
from .sync_columns import SYNC_COLUMNS, SYNCS_TABLE
from .tables import ALL_ROWS, column_hint
from .warehouse import REJECTED_TABLE

_KINDS = {"int32": pa.int32(), "int64": pa.int64(), "string": pa.string(), "instant": rows.INSTANT}
SYNCS = pa.schema([(name, _KINDS[kind]) for name, kind in SYNC_COLUMNS.items()])


def log_entries(results: list[StreamResult], run_id: str, companies: Mapping[int, str]) -> Any:
    """Rows for ``_exact_syncs``, in the same load as the data that they describe.

    Args:
        results: Outcomes of streams.
        run_id: Id of the sync.
        companies: Division code -> company name; a name may be missing.
    """
    same = {
        "run_id": run_id,
        "load_id": str(dlt.current.load_package_state()["load_id"]),
        "pipeline": dlt.current.pipeline().pipeline_name,
        "version": __version__,
    }
    size = len(results)
    columns: dict[str, Any] = {name: pa.repeat(value, size) for name, value in same.items()}
    for name in ("started_at", "ended_at"):
        columns[name] = [rows.instant(getattr(result, name)) for result in results]
    columns["division_name"] = [companies.get(result.division) or None for result in results]
    columns["notes"] = ["; ".join(result.notes) for result in results]
    for name in SYNCS.names:
        if name not in columns:
            columns[name] = [getattr(result, name) for result in results]
    # As hints of the item, because a contract passed to ``run`` would override those of the resource.
    hints = dlt.mark.make_hints(
        table_name=SYNCS_TABLE,
        write_disposition="append",
        primary_key=(),
        merge_key=(),
        columns={},
        file_format="parquet",
        schema_contract=ALL_ROWS,
    )
    return dlt.mark.with_hints(
        pa.table({name: columns[name] for name in SYNCS.names}, schema=SYNCS),
        hints,
        create_table_variant=True,
    )


def rejected_item(rejected: list[Rejected], at: float, disposition: Any) -> Any:
    """Rows for ``_exact_rejected``; a row that is read again is stored once."""
    kinds = {"division": pa.int32(), "entity": pa.string(), "mark": pa.string()}
    kinds |= {"seen_at": rows.INSTANT, "reason": pa.string(), "row": pa.string()}
    keys = ["division", "entity", "mark"]
    found = {
        (r.division, r.entity, rows.mark(r.row)): (rows.instant(at), r.reason, r.row)
        for r in rejected
    }
    columns = zip(*(key + rest for key, rest in found.items()), strict=True)
    table = pa.table(dict(zip(kinds, map(list, columns), strict=True)), pa.schema(kinds))
    return _merged(table, REJECTED_TABLE, keys, {}, disposition)


def unknown_tombstones_item(tables: list[pa.Table], disposition: Any) -> Any:
    """Tombstones of unknown entities for ``deleted``, which is not loaded itself."""
    table = rows.concat(tables)
    columns = {field.name: column_hint(field) for field in table.schema}
    return _merged(table, "deleted", ["division", "id"], columns, disposition)


def _merged(
    table: pa.Table,
    name: str,
    keys: list[str],
    columns: dict[str, TColumnSchema],
    disposition: Any,
) -> Any:
    hints = dlt.mark.make_hints(
        table_name=name,
        write_disposition=disposition,
        primary_key=keys,
        merge_key=(),
        columns=columns,
        file_format="parquet",
        schema_contract=ALL_ROWS,
    )
    table = rows.with_required(table, set(keys))
    return dlt.mark.with_hints(table, hints, create_table_variant=True)
