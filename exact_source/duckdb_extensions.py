"""DuckDB's extensions, which it downloads into the home folder of the user when they are first needed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable


def missing_extensions(names: Iterable[str]) -> list[str]:
    """The extensions that are not installed and cannot be downloaded."""
    import duckdb  # takes long, and no help text needs it

    missing: list[str] = []
    with duckdb.connect(":memory:") as database:
        found = database.sql("SELECT extension_name FROM duckdb_extensions() WHERE installed")
        installed = {name for (name,) in found.fetchall()}
        for name in (name for name in names if name not in installed):
            try:
                database.install_extension(name)
            except duckdb.Error:
                missing.append(name)
    return missing


def extension_command(*names: str) -> str:
    """The command that downloads extensions for the interpreter that runs this program."""
    statements = "; ".join(f"INSTALL {name}" for name in names)
    return f"{shlex.quote(sys.executable)} -c \"import duckdb; duckdb.sql('{statements}')\""
