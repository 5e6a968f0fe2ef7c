"""Parses the name of a destination, for tables and for tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .addresses import check_address
from .errors import ConfigurationError

DUCKDB_FILE = "exact.duckdb"


def split_destination(text: str) -> tuple[str, str]:
    """Kind and place of a database; the place is ``""`` if it is in dlt's configuration.

    ``"duckdb:books.duckdb"`` -> ``("duckdb", "books.duckdb")``, ``"postgres"`` -> ``("postgres", "")``.
    """
    if text.startswith("duckdb:"):
        return "duckdb", text.removeprefix("duckdb:")
    if text.startswith(("postgresql://", "postgres://")):
        return "postgres", text
    if text.startswith("filesystem:"):
        return "filesystem", text.removeprefix("filesystem:")
    return text, ""


def make_destination(kind: str, place: str, setting: str) -> Any:
    """The destination for ``dlt.pipeline``; no connection is made.

    Args:
        kind: Kind such as ``duckdb`` or ``postgres``.
        place: Path or address; empty if it is in dlt's configuration.
        setting: Name of the option or setting, for messages.

    Raises:
        ConfigurationError: If a folder does not exist.
    """
    import dlt

    configured: Any = dlt.secrets.get(f"destination.{kind}.credentials")
    if kind == "duckdb" and not place:
        # dlt's default, the pipeline's name, collides with a dataset of that name (see Warehouse).
        place = DUCKDB_FILE if configured is None else _path_in(configured)
    if not place:
        if kind == "postgres" and isinstance(configured, str):
            check_address(configured, "destination.postgres.credentials")
        return kind
    if kind == "duckdb":
        # For dlt, a path is relative to the folder in which the pipeline first ran, even if the current
        # folder has such a file.
        path = Path(place).expanduser().absolute()
        if not path.parent.is_dir():
            raise ConfigurationError(f"{setting} duckdb: there is no folder {path.parent}")
        if path.is_dir():
            raise ConfigurationError(f"{setting} duckdb: {path} is a folder; name a file in it")
        return dlt.destinations.duckdb(str(path))
    if kind == "filesystem":
        return dlt.destinations.filesystem(bucket_url=place)
    return dlt.destinations.postgres(credentials=place.replace("postgres://", "postgresql://", 1))


def _path_in(configured: Any) -> str:
    """The path, if the DuckDB credentials contain nothing else; otherwise empty, and dlt reads them."""
    is_path = isinstance(configured, str) and ":" not in configured
    return configured if is_path else ""
