"""The table ``_exact_syncs``: its name and columns, for the module that writes it and those that read it.

It imports nothing, so that a command can read the table without waiting for dlt and Arrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

SYNCS_TABLE = "_exact_syncs"
Kind = Literal["int32", "int64", "string", "instant"]
# Later versions add columns at the end; tables of earlier versions lack them until the next load.
SYNC_COLUMNS: Mapping[str, Kind] = {
    "division": "int32",
    "entity": "string",
    "feed": "string",
    "started_at": "instant",
    "ended_at": "instant",
    "calls": "int64",
    "shared_calls": "int64",  # for lists that all streams use
    "rows": "int64",
    "deleted": "int64",
    "cursor": "string",
    "status": "string",
    "error": "string",
    "code": "string",  # kind of the error, as on the page of errors
    "notes": "string",
    "rows_stored": "int64",  # number of rows in the table when the stream began
    "run_id": "string",
    "load_id": "string",
    "pipeline": "string",
    "version": "string",  # of this package
    "division_name": "string",
}
