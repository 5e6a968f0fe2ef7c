"""The destination that a text names, the same for tables and for tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import ConfigurationError

DUCKDB_FILE = "exact.duckdb"


def split_destination(text: str) -> tuple[str, str]:
    """Kind of database, and where it is; ``""`` if dlt's configuration says that.

    ``"duckdb:books.duckdb"`` -> ``("duckdb", "books.duckdb")``, ``"postgres"`` -> ``("postgres", "")``.
    """
    if text.startswith("duckdb:"):
        return "duckdb", text.removeprefix("duckdb:")
    if text.startswith(("postgresql://", "postgres://")):
        return "postgres", text
    return text, ""


def make_destination(kind: str, place: str, setting: str) -> Any:
    """What ``dlt.pipeline`` takes as a destination; nothing is connected to.

    Args:
        kind: Such as ``duckdb`` or ``postgres``.
        place: A path or an address; empty if dlt's configuration says it.
        setting: What named it, for messages.

    Raises:
        ConfigurationError: If a folder is not there.
    """
    import dlt

    if kind == "duckdb" and not place and dlt.secrets.get("destination.duckdb.credentials") is None:
        # The default of dlt, the pipeline's name, collides with a dataset of that name (see Stored).
        place = DUCKDB_FILE
    if not place:
        return kind
    if kind == "duckdb":
        path = Path(place).expanduser()
        if not path.parent.is_dir():
            raise ConfigurationError(f"{setting} duckdb: there is no folder {path.parent}")
        return dlt.destinations.duckdb(str(path))
    return dlt.destinations.postgres(credentials=place.replace("postgres://", "postgresql://", 1))
