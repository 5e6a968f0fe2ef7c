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
from .tables import ALL_ROWS, column_hint
from .warehouse import REJECTED_TABLE, SYNCS_TABLE

_SYNCS = pa.schema(
    [
        pa.field("division", pa.int32()),
        pa.field("entity", pa.string()),
        pa.field("feed", pa.string()),
        pa.field("started_at", rows.INSTANT),
        pa.field("ended_at", rows.INSTANT),
        pa.field("calls", pa.int64()),
        pa.field("shared_calls", pa.int64()),  # for lists that all streams use
        pa.field("rows", pa.int64()),
        pa.field("deleted", pa.int64()),
        pa.field("cursor", pa.string()),
        pa.field("status", pa.string()),
        pa.field("error", pa.string()),
        pa.field("code", pa.string()),  # kind of the error, as on the page of errors
        pa.field("notes", pa.string()),
        pa.field("rows_stored", pa.int64()),  # number of rows in the table when the stream began
        pa.field("run_id", pa.string()),
        pa.field("load_id", pa.string()),
        pa.field("pipeline", pa.string()),
        pa.field("version", pa.string()),  # of this package
        pa.field("division_name", pa.string()),
    ]
)


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
    for name in _SYNCS.names:
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
        pa.table({name: columns[name] for name in _SYNCS.names}, schema=_SYNCS),
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
