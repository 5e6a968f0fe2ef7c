"""DuckDB's extensions, which it downloads into the home folder of the user when they are first needed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable


def missing_extension(names: Iterable[str]) -> str:
    """The first extension that is not installed and cannot be downloaded; empty if there is none."""
    import duckdb  # takes long, and no help text needs it

    with duckdb.connect(":memory:") as database:
        found = database.sql("SELECT extension_name FROM duckdb_extensions() WHERE installed")
        installed = {name for (name,) in found.fetchall()}
        for name in names:
            try:
                if name not in installed:
                    database.install_extension(name)
            except duckdb.Error:
                return name
    return ""


def extension_command(name: str) -> str:
    """The command that downloads an extension for the interpreter that runs this program."""
    return f"{shlex.quote(sys.executable)} -c \"import duckdb; duckdb.sql('INSTALL {name}')\""
