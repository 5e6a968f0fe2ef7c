"""Reads, changes and writes the settings files; other settings in them stay unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dlt
import tomlkit
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from tomlkit import TOMLDocument

from ...errors import ConfigurationError
from ..files import PRIVATE, PUBLIC, replace_file
from .git import keep_out_of_git

FILES = ("config", "secrets")
# Place of a setting: file, tables, name.
Entries = dict[tuple[str, ...], str]


def settings_folder() -> Path:
    """The folder in which dlt looks for settings."""
    return Path(dlt.current.run_context().settings_dir)


def read_toml(path: Path) -> TOMLDocument:
    """A settings file that is known to be valid TOML; empty if there is none."""
    return tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()


def found(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """The value at a path; ``None`` if there is none."""
    value: Any = document
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def refuse_other(documents: Mapping[str, TOMLDocument], entries: Entries) -> None:
    """Make sure that no value would change an existing one.

    Raises:
        ConfigurationError: If one would.
    """
    for (file, *path), value in entries.items():
        old = found(documents[file], tuple(path))
        if old is not None and old != value:
            raise ConfigurationError(
                f"{'.'.join(path)} has another value in .dlt/{file}.toml; --replace changes it"
            )


def merge(documents: Mapping[str, TOMLDocument], entries: Entries) -> dict[str, list[str]]:
    """Put values into the documents; returns the names of the new values by file."""
    changed: dict[str, list[str]] = {file: [] for file in FILES}
    for (file, *tables, name), value in entries.items():
        if put(documents[file], tables, name, value):
            changed[file].append(".".join((*tables, name)))
    return changed


def put(document: TOMLDocument, tables: list[str], name: str, value: str) -> bool:
    """Set one value, creating its tables; returns whether the value changed."""
    table: Any = document
    for position, part in enumerate(tables):
        if not isinstance(table.get(part), Mapping):  # perhaps another form of the credentials
            table[part] = tomlkit.table(is_super_table=position < len(tables) - 1)
        table = table[part]
    if str(table.get(name, "")) == value:
        return False
    table[name] = value
    return True


def write(
    folder: Path, documents: Mapping[str, TOMLDocument], changed: Mapping[str, list[str]]
) -> None:
    """Write the files that changed; before any secret is written, git is set to ignore it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"init: {folder} cannot be created: {error.strerror}") from None
    keep_out_of_git(folder)
    for file, document in documents.items():
        path = folder / f"{file}.toml"
        mode = PRIVATE if file == "secrets" else PUBLIC
        loose = mode == PRIVATE and path.exists() and path.stat().st_mode & 0o077
        if changed[file] or loose:
            replace_file(path, document.as_string(), "init", mode=mode)


def reload_settings() -> None:
    """Let dlt read the settings files again, after they changed."""
    Container()[PluggableRunContext].reload_providers()
